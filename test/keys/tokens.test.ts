/** The contract suite on real tokens, through the keeper: each in the tier its self-test finds, and SoftHSM and NSS in every tier they have. */
import { expect, test } from '@jest/globals';
import type { KeyId } from '../../src/domain/ids.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import type { KeyProvider } from '../../src/keys/port.ts';
import { type Capabilities, keyProviderContract } from '../contract/key-provider.ts';
import { startSoftHsm } from '../harness/softhsm.ts';
import { nss, opencryptoki, tpm2 } from '../harness/tokens/kinds.ts';
import { kryoptic } from '../harness/tokens/kryoptic.ts';
import type { TokenKind } from '../harness/tokens/token.ts';
import { softHsmToken, startTestKeeper, startTokenKeeper, type TestKeeperOptions } from './keeper-harness.ts';
import { keptHeads } from './kept-heads.ts';
import { lostAndBack } from './lost-token.ts';

const P256 = 'ecdsa-p256-sha256';
/** Making an RSA pair takes as long as it takes. */
const softHsm: TokenKind = { name: 'SoftHSM', missing: undefined, start: async () => softHsmToken(await startSoftHsm()) };

interface Run {
  readonly options?: TestKeeperOptions;
  readonly runs?: number;
  readonly atOnce?: number;
}

/** By one caller, the whole way through the keeper: a row of the matrix in docs/hsm.md, and never a reason to fail. */
async function unwrapsPerSecond(client: KeyProvider, count: number): Promise<number> {
  const kek = { id: 'matrix' as KeyId, version: 1 };
  await client.generate(kek, 'kek');
  const wrapped = await client.wrap(kek, new SecretBytes(new Uint8Array(32)), new Uint8Array(1));
  const at = performance.now();
  for (let done = 0; done < count; done++) (await client.unwrap(wrapped, new Uint8Array(1))).dispose();
  return count / ((performance.now() - at) / 1000);
}

function contractOn(kind: TokenKind, how: string, can: Capabilities, { options = {}, ...pace }: Run = {}): void {
  const name = `${kind.name}${how === '' ? '' : `, ${how}`}`;
  if (kind.missing !== undefined) {
    test.skip(`KeyProvider: ${name}: ${kind.missing}`, () => undefined);
    return;
  }
  keyProviderContract(
    name,
    async () => {
      const token = await kind.start();
      const { client, stop, events } = await startTokenKeeper(token, options);
      const perSecond = await unwrapsPerSecond(client, pace.runs ?? 100);
      const found = events.find(({ event }) => event === 'connected')?.detail ?? 'not connected';
      const cleanUp = async () => {
        await stop();
        await token.remove();
        process.stdout.write(`| ${name} | ${found} | ${can.tier ?? 1} | ${can.algorithm ?? 'ed25519'} | ${perSecond.toFixed(0)} |\n`);
      };
      return { provider: client, cleanUp, ...pace };
    },
    can,
  );
}

contractOn(softHsm, '', {});
contractOn(softHsm, 'on threads', {}, { options: { calls: 'threads' } });
contractOn(softHsm, 'P-256 by choice', { algorithm: P256 }, { options: { signature: P256 }, runs: 10 });
contractOn(nss, '', { algorithm: P256 }, { runs: 20 });
contractOn(nss, 'key wrap', { tier: 2, algorithm: P256 }, { options: { wrapTier: 2 }, runs: 20 });
contractOn(nss, 'RSA-OAEP', { tier: 3, algorithm: P256 }, { options: { wrapTier: 3 }, runs: 10, atOnce: 30 });
contractOn(opencryptoki, '', { tier: 3, algorithm: 'none' }, { runs: 10, atOnce: 30 });
lostAndBack(opencryptoki, 'by the next keeper');
keptHeads(opencryptoki, true);
contractOn(kryoptic, '', { algorithm: P256 }, { runs: 20 });
contractOn(tpm2, '', { tier: 3, algorithm: P256 }, { runs: 6, atOnce: 8 });

test('SoftHSM has no RFC 5649, whatever its list of mechanisms says: asked for it, it makes no kek', async () => {
  const { client, stop } = await startTestKeeper({ wrapTier: 2 });
  await expect(client.generate({ id: 'kek' as KeyId, version: 1 }, 'kek')).rejects.toMatchObject({
    code: 'hsm_mechanism_missing',
    detail: expect.stringMatching(/0x210b CKR_MECHANISM_INVALID, 0x210a gives other bytes than RFC 5649/),
  });
  await stop();
});
