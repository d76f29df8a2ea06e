/** The checkpoint of a log on real tokens, through the keeper: kept, or refused in words, and the keys go on either way. */
import { expect, test } from '@jest/globals';
import { utf8 } from '../../src/domain/bytes.ts';
import { codeOf } from '../../src/domain/errors.ts';
import type { KeyId } from '../../src/domain/ids.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import type { TokenKind } from '../harness/tokens/token.ts';
import { startTokenKeeper } from './keeper-harness.ts';

export function keptHeads(kind: TokenKind, keeps: boolean): void {
  const name = `${kind.name} ${keeps ? 'keeps the newest checkpoint' : 'says that it keeps none'}, and its keys go on`;
  if (kind.missing !== undefined) {
    test.skip(`${name}: ${kind.missing}`, () => undefined);
    return;
  }
  test(name, async () => {
    const token = await kind.start();
    const { client, stop, events } = await startTokenKeeper(token);
    try {
      const kek = { id: 'kek' as KeyId, version: 1 };
      await client.generate(kek, 'kek');
      const outcomes = [];
      for (const size of [1, 2]) outcomes.push((await client.heads?.write('a log', utf8(`a log\n${size}\n`)).catch(codeOf)) ?? 'written');
      const kept = (await client.heads?.read('a log'))?.map((note) => Buffer.from(note).toString());
      expect({ outcomes, kept }).toEqual(
        keeps ? { outcomes: ['written', 'written'], kept: ['a log\n2\n'] } : { outcomes: Array(2).fill('hsm_mechanism_missing'), kept: [] },
      );
      const wrapped = await client.wrap(kek, new SecretBytes(new Uint8Array(32)), utf8('aad'));
      expect((await client.unwrap(wrapped, utf8('aad'))).length).toBe(32);
      expect(await client.health()).toMatchObject({ ok: true });
      expect(events.filter(({ event }) => event === 'connected')).toHaveLength(1); // a refusal is no lost token
    } finally {
      await stop();
      await token.remove();
    }
  });
}
