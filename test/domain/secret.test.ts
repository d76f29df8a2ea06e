import { Console } from 'node:console';
import { Writable } from 'node:stream';
import { format, inspect } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { briefRoom, SecretBytes } from '../../src/domain/secret.ts';

const MARK = 'correct horse battery staple 0123456789abcdef';
const secretOf = (text: string) => new SecretBytes(new Uint8Array(Buffer.from(text)));

/** Every spelling in which bytes usually get out. */
function spellings(text: string): string[] {
  const bytes = Buffer.from(text);
  return [
    text,
    bytes.toString('hex'),
    bytes.toString('base64').replace(/=+$/, ''),
    bytes.toString('base64url'),
    [...bytes].join(','),
    [...bytes].join(', '),
  ];
}

function consoleText(write: (console: Console) => void): string {
  let text = '';
  const sink = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  write(new Console({ stdout: sink, stderr: sink }));
  return text;
}

describe('a secret never prints', () => {
  const ways: ReadonlyArray<readonly [string, (secret: SecretBytes) => string]> = [
    ['util.inspect', (secret) => inspect(secret)],
    ['util.inspect with everything shown', (secret) => inspect(secret, { showHidden: true, depth: null, getters: true })],
    ['util.inspect inside an object', (secret) => inspect({ deep: [{ secret }] }, { depth: null, showHidden: true })],
    ['util.format', (secret) => format('%s %o %O %j', secret, secret, secret, secret)],
    ['JSON', (secret) => JSON.stringify({ secret })],
    ['a template', (secret) => `${secret}`],
    ['concatenation', (secret) => ['', secret].join('')],
    ['console.log', (secret) => consoleText((console) => console.log(secret, { secret }))],
    ['console.dir', (secret) => consoleText((console) => console.dir({ secret }, { depth: null, showHidden: true }))],
    ['console.table', (secret) => consoleText((console) => console.table([{ secret }]))],
    ['an error that carries it', (secret) => inspect(new Error('failed', { cause: secret }))],
    ['its own members', (secret) => JSON.stringify([Object.keys(secret), Object.entries(secret), Reflect.ownKeys(secret), { ...secret }])],
    ['structuredClone', (secret) => JSON.stringify(structuredClone(secret))],
  ];

  test.each(ways)('by %s', (_way, show) => {
    const shown = show(secretOf(MARK));
    for (const spelling of spellings(MARK)) expect(shown).not.toContain(spelling);
  });

  test('whatever it is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 64 }), (bytes) => {
        const secret = new SecretBytes(bytes);
        const shown = [inspect(secret), JSON.stringify(secret), `${secret}`];
        expect(new Set(shown.map((text) => text.replaceAll('"', '')))).toEqual(new Set(['[secret]']));
      }),
    );
  });
});

describe('a secret is wiped', () => {
  test('when it is disposed, in the very buffer it was given', () => {
    const bytes = Uint8Array.of(1, 2, 3, 4);
    const secret = new SecretBytes(bytes);
    secret.dispose();
    expect([...bytes]).toEqual([0, 0, 0, 0]);
    expect([secret.disposed, secret.length]).toEqual([true, 0]);
    secret.dispose(); // twice is no harm
  });

  test('at the end of a `using` block, also when the block throws', () => {
    const bytes = Uint8Array.of(9, 9, 9);
    expect(() => {
      using secret = new SecretBytes(bytes);
      throw new Error(`with ${secret.length} bytes`);
    }).toThrow('with 3 bytes');
    expect([...bytes]).toEqual([0, 0, 0]);
  });

  test('and then throws instead of lending zeros', () => {
    const secret = secretOf('gone');
    secret.dispose();
    expect(() => secret.expose((bytes) => bytes.length)).toThrow('disposed');
    expect(() => secretOf('gone').equals(secret)).toThrow('disposed');
  });
});

test('rooms for brief secrets are empty, as long as asked for, and apart from each other', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 50 }), (lengths) => {
      const rooms = lengths.map((length) => briefRoom(length));
      for (const [at, room] of rooms.entries()) {
        expect(room.length).toBe(lengths[at]);
        expect(room.every((byte) => byte === 0)).toBe(true);
        room.fill(at + 1);
      }
      for (const [at, room] of rooms.entries()) expect(room.every((byte) => byte === at + 1)).toBe(true);
      for (const room of rooms) room.fill(0);
    }),
  );
});

test('secrets are equal when their bytes are, and of other lengths unequal without throwing', () => {
  expect(secretOf('same').equals(secretOf('same'))).toBe(true);
  expect(secretOf('same').equals(secretOf('sAme'))).toBe(false);
  expect(secretOf('same').equals(secretOf('longer'))).toBe(false);
});
