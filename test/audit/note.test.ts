import { generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { formatCheckpoint, openCheckpoint, parseCheckpoint } from '../../src/audit/checkpoint.ts';
import { formatVkey, openNote, parseNote, parseVkey, signNote, verifierKey } from '../../src/audit/note.ts';
import { codeOf } from '../../src/domain/errors.ts';
import type { TreeSize } from '../../src/domain/ids.ts';
import { withVectors } from '../shared-vectors.ts';
import { createLogKey, ORIGIN } from './small-log.ts';

interface NoteVectors {
  readonly valid: ReadonlyArray<{
    readonly name: string;
    readonly note: string;
    readonly text: string;
    readonly verified_by: ReadonlyArray<{ readonly vkey: string }>;
  }>;
  readonly invalid: ReadonlyArray<{ readonly name: string; readonly note: string; readonly vkey: string; readonly reason: string }>;
}
const utf8 = (text: string) => new TextEncoder().encode(text);
function codeThrown(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return codeOf(error);
  }
  return 'accepted';
}

// All keys in the vectors are Ed25519, so none is skipped.
withVectors<NoteVectors>('signed notes of other projects', 'signed-note/vectors.json', ({ valid, invalid }) => {
  test.each(valid)('opens $name', ({ note, text, verified_by }) => {
    const keys = verified_by.map(({ vkey }) => parseVkey(vkey));
    const opened = openNote(utf8(note), keys);
    expect(opened.text).toBe(text);
    expect(opened.signedBy).toEqual(keys);
    expect(verified_by.map(({ vkey }) => vkey)).toEqual(keys.map(formatVkey));
  });

  test.each(invalid)('refuses $name', ({ name, note, vkey, reason }) => {
    // The cut signature is canonical base64 of fewer bytes: well-formed, and no signature of that key.
    const unsigned = ['signature_invalid', 'unknown_key'].includes(reason) || name === 'negative-signature-truncated';
    expect(codeThrown(() => openNote(utf8(note), [parseVkey(vkey)]))).toBe(unsigned ? 'note_signature_invalid' : 'note_malformed');
  });
});

function newKey(name: string) {
  const pair = generateKeyPairSync('ed25519');
  const key = verifierKey(name, new Uint8Array(pair.publicKey.export({ format: 'der', type: 'spki' })));
  return { key, sign: async (text: Uint8Array) => new Uint8Array(sign(null, text, pair.privateKey)) };
}

describe('a note we sign', () => {
  const first = newKey('first.example/log');
  const second = newKey('second.example/witness');

  test('opens with its key, with others beside it, and keeps blank lines in its text', async () => {
    const text = 'one\n\n— two\n';
    const note = await signNote(text, first.key, first.sign);
    expect(openNote(note, [first.key])).toEqual({ text, signedBy: [first.key] });
    expect(openNote(note, [second.key, first.key]).signedBy).toEqual([first.key]);
    expect(codeThrown(() => openNote(note, [second.key]))).toBe('note_signature_invalid');
    expect(codeThrown(() => openNote(note, []))).toBe('note_signature_invalid');
  });

  test('is refused as a whole when a known key signed something else, also beside a good signature', async () => {
    const note = Buffer.from(await signNote('text\n', first.key, first.sign)).toString();
    const other = Buffer.from(await signNote('other\n', second.key, second.sign))
      .toString()
      .split('\n')
      .at(-2);
    const both = utf8(`${note}${other}\n`);
    expect(openNote(both, [first.key]).signedBy).toEqual([first.key]);
    expect(codeThrown(() => openNote(both, [first.key, second.key]))).toBe('note_signature_invalid');
  });

  test('may carry 16 and more signatures of strangers, not hundreds', async () => {
    const note = Buffer.from(await signNote('text\n', first.key, first.sign)).toString();
    const stranger = '— stranger.example AAAAAAA=\n';
    expect(openNote(utf8(note + stranger.repeat(40)), [first.key]).text).toBe('text\n');
    expect(codeThrown(() => openNote(utf8(note + stranger.repeat(100)), [first.key]))).toBe('note_malformed');
    expect(codeThrown(() => parseNote(new Uint8Array(1_000_001)))).toBe('note_malformed');
  });

  test('is never given out with a signature that does not verify', async () => {
    await expect(signNote('text\n', first.key, second.sign)).rejects.toMatchObject({ code: 'note_signature_invalid' });
    await expect(signNote('text\n', first.key, async () => new Uint8Array(64))).rejects.toMatchObject({ code: 'note_signature_invalid' });
    await expect(signNote('text\n', first.key, async () => new Uint8Array(0))).rejects.toMatchObject({ code: 'note_signature_invalid' });
  });

  test('is found changed whichever bit flips', async () => {
    const note = await signNote('text, and then some\n', first.key, first.sign);
    for (let bit = 0; bit < note.length * 8; bit++) {
      const damaged = note.slice();
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(codeThrown(() => openNote(damaged, [first.key]))).toMatch(/^note_/);
    }
  });

  test.each([
    ['a byte order mark', (note: string) => `\uFEFF${note}`],
    ['a tab', (note: string) => note.replace('text', 'te\txt')],
    ['two spaces before the signature', (note: string) => note.replace('log ', 'log  ')],
    ['a space after the signature', (note: string) => note.replace(/\n$/, ' \n')],
    ['base64 without padding', (note: string) => note.replace(/=\n$/, '\n')],
    ['base64url', (note: string) => note.replace(/[A-Za-z0-9+/]{4}=?\n$/, '-_-_\n')],
    ['an empty line at the end', (note: string) => `${note}\n`],
    ['only a key id', (note: string) => note.replace(/ [^ ]*\n$/, ' AAAAAA==\n')],
    ['a plus in the name', (note: string) => note.replace('first.example', 'first+example')],
  ])('is refused with %s', async (_, damage) => {
    const note = Buffer.from(await signNote('text\n', first.key, first.sign)).toString();
    expect(codeThrown(() => openNote(utf8(damage(note)), [first.key]))).toMatch(/^note_/);
  });
});

describe('verifier keys', () => {
  const vkey = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k'; // C2SP signed-note "Example"

  test('are spelled as in the specification', () => {
    expect(formatVkey(parseVkey(vkey))).toBe(vkey);
  });

  test.each([
    '',
    'example.com/foo',
    vkey.replace('530d903a', '530d903b'),
    vkey.replace('530d903a', '530D903A'),
    vkey.replace('example', 'exampl3'),
    `${vkey}=`,
    ` ${vkey}`,
    vkey.replace('+Aek', '+Auk'),
    vkey.slice(0, -4),
    vkey.replace('example.com/foo', ''),
    vkey.replace('example.com/foo', 'exa mple'),
    `${vkey}\n`,
  ])('refuses %j', (text) => {
    expect(codeThrown(() => parseVkey(text))).toBe('note_malformed');
  });

  test('accept a raw key and its SubjectPublicKeyInfo as the same key, and nothing else', () => {
    const { publicKey } = createLogKey();
    expect(verifierKey(ORIGIN, publicKey)).toEqual(verifierKey(ORIGIN, publicKey.slice(12)));
    for (const namedCurve of ['P-384', 'secp256k1']) {
      const ec = new Uint8Array(generateKeyPairSync('ec', { namedCurve }).publicKey.export({ format: 'der', type: 'spki' }));
      expect(codeThrown(() => verifierKey(ORIGIN, ec))).toBe('note_malformed');
    }
    for (const length of [0, 31, 33, 44]) expect(codeThrown(() => verifierKey(ORIGIN, new Uint8Array(length)))).toBe('note_malformed');
  });

  const p256 = JSON.parse(readFileSync(new URL('../vectors/audit/log-p256.json', import.meta.url), 'utf8')).vkey as string;

  test('of P-256 are spelled with type 0x02, the whole SubjectPublicKeyInfo and its digest as key id', () => {
    expect(parseVkey(p256)).toMatchObject({ name: ORIGIN, algorithm: 'ecdsa-p256-sha256' });
    expect(formatVkey(parseVkey(p256))).toBe(p256);
    // The example of transparency-dev/formats, with the key id its bytes have.
    const rekor =
      'rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXwBcK5AW5i0hrZLOC96l+smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc=';
    expect(formatVkey(parseVkey(rekor))).toBe(rekor);
  });

  test.each([
    ['another key id', p256.replace('5a7a78cc', '5a7a78cd')],
    ['type 0x01', p256.replace('+AjBZ', '+ATBZ')],
    ['type 0x03', p256.replace('+AjBZ', '+AzBZ')],
    ['a point that is not on the curve', p256.replace('RGIpk=', 'RGIpg=')],
    ['a compressed point', `${ORIGIN}+00000000+${compressed(p256)}`],
    ['a byte more', p256.replace('RGIpk=', 'RGIpkA')],
  ])('of P-256 are refused with %s', (_, text) => {
    expect(codeThrown(() => parseVkey(text))).toBe('note_malformed');
  });
});

function compressed(vkey: string): string {
  const spki = Buffer.from(vkey.split('+').slice(2).join('+'), 'base64').subarray(1);
  const x = spki.subarray(27, 59);
  const head = Buffer.from('023039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex');
  return Buffer.concat([head, Buffer.from([2 + ((spki.at(-1) ?? 0) & 1)]), x]).toString('base64');
}

describe('checkpoints', () => {
  const root = 'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=';

  test('read what they write', () => {
    const text = `example.com/behind-the-sofa\n20852163\n${root}\n`; // C2SP tlog-checkpoint
    const checkpoint = parseCheckpoint(text);
    expect(checkpoint).toMatchObject({ origin: 'example.com/behind-the-sofa', size: 20_852_163, extensions: [] });
    expect(formatCheckpoint(checkpoint)).toBe(text);
    expect(parseCheckpoint(`${text}extension\nanother\n`).extensions).toEqual(['extension', 'another']);
  });

  test.each([
    `o\n1\n${root}`,
    `\n1\n${root}\n`,
    `o\n01\n${root}\n`,
    `o\n-1\n${root}\n`,
    `o\n+1\n${root}\n`,
    `o\n\n${root}\n`,
    `o\n1e3\n${root}\n`,
    `o\n9007199254740992\n${root}\n`,
    `o\n1\n${root.slice(0, -4)}\n`,
    `o\n1\n${root.replace('2I=', '2J=')}\n`,
    `o\n1\n\n`,
    `o\n1\n`,
    'o\n',
    '',
    `o\n1\n${root}\n\n`,
    `o\n1\n${root}\nx\n\ny\n`,
    `o\n1 \n${root}\n`,
  ])('refuse %j', (text) => {
    expect(codeThrown(() => parseCheckpoint(text))).toBe('note_malformed');
  });

  test('of another origin are refused although the key signed them', async () => {
    const log = newKey(ORIGIN);
    const note = await signNote(
      formatCheckpoint({ origin: 'other.example', size: 0 as TreeSize, root: new Uint8Array(32) }),
      log.key,
      log.sign,
    );
    expect(codeThrown(() => openCheckpoint(note, log.key))).toBe('note_signature_invalid');
  });
});
