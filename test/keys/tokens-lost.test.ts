/**
 * A TPM that is lost and comes back while its keeper runs: meanwhile errors that may be tried again, and never "no such key"; afterwards the same
 * keeper opens what it wrapped. SoftHSM's losses are in keeper-faults.test.ts. NSS and opencryptoki cannot be lost here: they keep their files open,
 * and pkcsslotd does not end while anybody uses it (docs/hsm.md).
 */
import { expect, test } from '@jest/globals';
import { codeOf } from '../../src/domain/errors.ts';
import type { KeyId } from '../../src/domain/ids.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import { tpm2 } from '../harness/tokens/kinds.ts';
import { eventually, startTokenKeeper } from './keeper-harness.ts';

const kek = { id: 'kek-1' as KeyId, version: 1 };
const absent = { id: 'kek-1' as KeyId, version: 2 };
const aad = new Uint8Array([1, 2, 3]);
const dek = () => new SecretBytes(new Uint8Array(32).fill(0xd7));
const codeOfFailure = (work: Promise<unknown>) => work.then(() => 'done', codeOf);

(tpm2.missing === undefined ? test : test.skip)(
  `${tpm2.name}: lost and back${tpm2.missing === undefined ? '' : ` (skipped: ${tpm2.missing})`}`,
  async () => {
    const token = await tpm2.start();
    const { client, keeper, stop, events } = await startTokenKeeper(token, { deadlineMs: 20_000, client: { deadlineMs: 20_000 } });
    try {
      await client.generate(kek, 'kek');
      const wrapped = await client.wrap(kek, dek(), aad);
      expect(await codeOfFailure(client.describe(absent))).toBe('key_unknown');
      const pid = keeper.pid();
      await token.lose?.();
      for (const work of [() => client.unwrap(wrapped, aad), () => client.describe(absent), () => client.generate(absent, 'kek')])
        expect(await codeOfFailure(work())).toMatch(/^(?:hsm_unavailable|hsm_token_missing)$/);
      expect(await client.health()).toMatchObject({ ok: false });
      await token.giveBack?.();
      const opened = await eventually(() => client.unwrap(wrapped, aad));
      expect(opened.equals(dek())).toBe(true);
      expect(await codeOfFailure(client.describe(absent))).toBe('key_unknown');
      expect(keeper.pid()).toBe(pid);
      expect(events.filter(({ event }) => event === 'lost')).not.toEqual([]);
    } finally {
      await stop();
      await token.remove();
    }
  },
);
