import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { openStream } from '../../src/sealed/stream.ts';
import { collect, hex, secret } from './support.ts';

test('the example that docs/formats/sealed-object.md begins with opens to the text it names', async () => {
  const page = readFileSync(new URL('../../docs/formats/sealed-object.md', import.meta.url), 'utf8');
  const block = page.split('```')[1] ?? '';
  const object = hex([...block.matchAll(/^ {2}([0-9a-f]+)(?: |$)/gm)].map((line) => line[1]).join(''));
  const key = secret(createHash('sha256').update('weight vault vector key').digest());
  const plain = await collect(openStream([object], { key, aad: Buffer.from('weight vault vectors') }));
  expect(page).toContain(`\`${Buffer.from(plain).toString()}\``);
  expect([object.length, plain.length]).toEqual([74 + 64 + 46, 46]);
});
