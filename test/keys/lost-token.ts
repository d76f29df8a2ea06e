/**
 * A token that is lost and comes back: meanwhile errors that may be tried again, and never "no such key"; afterwards what it wrapped opens. Some
 * libraries go on from what they have open, and it is the next keeper that notices.
 */
import { expect, test } from '@jest/globals';
import { codeOf } from '../../src/domain/errors.ts';
import type { KeyId } from '../../src/domain/ids.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import type { TokenKind } from '../harness/tokens/token.ts';
import { eventually, pidOf, startTokenKeeper } from './keeper-harness.ts';

const kek = { id: 'kek-1' as KeyId, version: 1 };
const absent = { id: 'kek-1' as KeyId, version: 2 };
const aad = new Uint8Array([1, 2, 3]);
const dek = () => new SecretBytes(new Uint8Array(32).fill(0xd7));
const codeOfFailure = (work: Promise<unknown>) => work.then(() => 'done', codeOf);

export function lostAndBack(kind: TokenKind, noticed: 'at once' | 'by the next keeper'): void {
  const name = `${kind.name}: lost and back, ${noticed}`;
  if (kind.missing !== undefined) {
    test.skip(`${name} (skipped: ${kind.missing})`, () => undefined);
    return;
  }
  test(name, async () => {
    const token = await kind.start();
    const { client, keeper, stop, events } = await startTokenKeeper(token);
    try {
      await client.generate(kek, 'kek');
      const wrapped = await client.wrap(kek, dek(), aad);
      expect(await codeOfFailure(client.describe(absent))).toBe('key_unknown');
      const pid = pidOf(keeper);
      await token.lose?.();
      if (noticed === 'by the next keeper') {
        expect((await client.unwrap(wrapped, aad)).equals(dek())).toBe(true);
        process.kill(pid, 'SIGKILL');
        await eventually(async () => expect(keeper.pid() ?? pid).not.toBe(pid));
        await eventually(async () => expect((await client.health()).code).not.toBe('keeper_unavailable'));
      }
      for (const work of [() => client.unwrap(wrapped, aad), () => client.describe(absent), () => client.generate(absent, 'kek')])
        expect(await codeOfFailure(work())).toMatch(/^(?:hsm_unavailable|hsm_token_missing)$/);
      expect(await client.health()).toMatchObject({ ok: false });
      const waiting = keeper.pid();
      await token.giveBack?.();
      const opened = await eventually(() => client.unwrap(wrapped, aad));
      expect(opened.equals(dek())).toBe(true);
      expect(await codeOfFailure(client.describe(absent))).toBe('key_unknown');
      expect(keeper.pid()).toBe(waiting);
      if (noticed === 'at once') expect(events.filter(({ event }) => event === 'lost')).not.toEqual([]);
    } finally {
      await stop();
      await token.remove();
    }
  });
}
