/**
 * The log is checked by programs nobody here wrote: golang.org/x/mod/sumdb, which checks Go's own checksum database (foreign-verifiers/main.go
 * only hands it our files), and openssl. What they accept, and what they refuse, is not our opinion.
 */
import { execFile } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { decodeEntries, encodeEntries } from '../../src/audit/bundle.ts';
import { leafHash } from '../../src/audit/merkle.ts';
import { parseNote } from '../../src/audit/note.ts';
import { makeProof } from '../../src/audit/proof.ts';
import { parseVkey } from '../../src/audit/vkey.ts';
import { concat } from '../../src/domain/bytes.ts';
import type { SignatureAlgorithm } from '../../src/domain/signature.ts';
import { appendRecords, createLogKey, type LogKey, publishedFiles, recordOf, sequencerOn, sourceOf } from './small-log.ts';

const PROGRAM = join(import.meta.dirname, '..', '..', '.cache', 'foreign-verifiers', 'foreign-verifiers');
/** Two full tiles and a partial one, so that every kind of path is read. */
const RECORDS = 700;
const MORE = 77;

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(file: string, args: readonly string[]): Promise<Ran> {
  return new Promise((done) => {
    execFile(file, args, (error, stdout, stderr) => done({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }));
  });
}

const folder = mkdtempSync(join(tmpdir(), 'wv-foreign-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function writeCopy(name: string, files: ReadonlyMap<string, Uint8Array>): Promise<string> {
  const copy = join(folder, name);
  for (const [path, bytes] of files) {
    await mkdir(dirname(join(copy, path)), { recursive: true });
    await writeFile(join(copy, path), bytes);
  }
  return copy;
}

const withGo = existsSync(PROGRAM) ? describe : describe.skip;
if (!existsSync(PROGRAM)) console.warn('skipped: no Go here to build foreign-verifiers with (npm test brings it where apt may)');

withGo.each(['ed25519', 'ecdsa-p256-sha256'] as const)(
  'a log signed with %s, read by golang.org/x/mod/sumdb',
  (algorithm: SignatureAlgorithm) => {
    let key: LogKey;
    let copy: string;
    let older: string;
    let files: Map<string, Uint8Array>;
    let ids: readonly string[];

    beforeAll(async () => {
      key = createLogKey(algorithm);
      const first = await publishedFiles(RECORDS, key);
      older = join(folder, `${algorithm}-older`);
      await writeFile(older, first.files.get('checkpoint') ?? '');
      ids = [...first.ids, ...(await appendRecords(first.memory, MORE, recordOf('log.read')))];
      first.memory.now = new Date(first.memory.now.getTime() + 60_000); // the first sequencer's lease is over
      expect(await sequencerOn(first.memory, key).sequencer.tick()).toBe('published');
      files = new Map(first.memory.state.tiles).set('checkpoint', first.memory.state.head?.checkpoint ?? new Uint8Array(0));
      copy = await writeCopy(algorithm, files);
    });

    test('re-hashes every record, and proves inclusion and consistency with the older head', async () => {
      const { code, stdout, stderr } = await run(PROGRAM, ['log', copy, key.vkey, older]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(JSON.parse(stdout)).toEqual({
        origin: 'vault.example/access',
        size: RECORDS + MORE,
        records: ids.length,
        inclusions: 4,
        consistent: true,
        olderRecords: RECORDS,
      });
    });

    test.each([
      ['a record in a full bundle', 'tile/entries/001', 'record 256 is not'],
      ['a record in the partial bundle', `tile/entries/003.p/${RECORDS + MORE - 768}`, 'record 768 is not'],
      ['a hash tile', 'tile/0/001', 'inconsistent|downloaded|hash|record'],
      ['the checkpoint', 'checkpoint', 'signature|note|key'],
    ])('refuses a copy in which one bit of %s is another', async (_what, path, says) => {
      const bytes = new Uint8Array(files.get(path) ?? []);
      expect(bytes.length).toBeGreaterThan(0);
      bytes[20] = (bytes[20] ?? 0) ^ 1;
      const damaged = await writeCopy(`${algorithm}-damaged-${path.replaceAll('/', '-')}`, new Map(files).set(path, bytes));
      const { code, stderr } = await run(PROGRAM, ['log', damaged, key.vkey]);
      expect(code).toBe(1);
      expect(stderr).toMatch(new RegExp(says));
    });

    test('refuses a copy in which a record and its hash in the tile were changed together', async () => {
      const { entries } = decodeEntries(files.get('tile/entries/000') ?? new Uint8Array(0), 256);
      const changed = entries.map((entry, at) => (at === 7 ? Uint8Array.from(entry).fill(0x78, 30, 34) : entry));
      const both = new Map(files).set('tile/entries/000', encodeEntries(changed)).set('tile/0/000', concat(...changed.map(leafHash)));
      const { code, stderr } = await run(PROGRAM, ['log', await writeCopy(`${algorithm}-both`, both), key.vkey]);
      expect([code, stderr]).toEqual([1, expect.stringMatching(/inconsistent tile|do not have the root/)]);
    });

    test('refuses another key of the same name', async () => {
      const { code, stderr } = await run(PROGRAM, ['log', copy, createLogKey(algorithm).vkey]);
      expect({ code, stderr: /no verifiable signatures/.test(stderr) }).toEqual({ code: 1, stderr: true });
    });

    test('refuses a head that the log does not continue', async () => {
      const other = await publishedFiles(RECORDS, key);
      const fork = join(folder, `${algorithm}-fork`);
      await writeFile(fork, other.files.get('checkpoint') ?? '');
      const { code } = await run(PROGRAM, ['log', copy, key.vkey, fork]);
      expect(code).toBe(1);
    });

    test('checks a .tlog-proof of ours, and refuses it for another leaf', async () => {
      const index = 300;
      const proof = await makeProof(index, files.get('checkpoint') ?? new Uint8Array(0), parseVkey(key.vkey), sourceOf(files).tile);
      const leaf = (files.get('tile/entries/001') ?? new Uint8Array(0)).slice();
      const record = leafAt(leaf, index - 256);
      await writeFile(join(folder, 'proof'), proof);
      await writeFile(join(folder, 'leaf'), record);
      const good = await run(PROGRAM, ['proof', join(folder, 'proof'), join(folder, 'leaf'), key.vkey]);
      expect({ ...good, stdout: JSON.parse(good.stdout) }).toEqual({ code: 0, stdout: { index, size: RECORDS + MORE }, stderr: '' });
      await writeFile(join(folder, 'leaf'), leafAt(leaf, index - 255));
      expect((await run(PROGRAM, ['proof', join(folder, 'proof'), join(folder, 'leaf'), key.vkey])).code).toBe(1);
    });
  },
);

const FSCK = join(import.meta.dirname, '..', '..', '.cache', 'tessera-fsck', 'tessera-fsck');
const withFsck = existsSync(FSCK) ? describe : describe.skip;
if (!existsSync(FSCK)) console.warn('skipped: no Go 1.25 here to build tessera-fsck with');

/** What it does with altered bundles is not asked: fsck 1.0.4 goes on trying and does not end. */
withFsck("Tessera's fsck, which checks the logs of others every day", () => {
  test('fetches every tile and bundle of our log and finds the signed root; under another key it finds nothing', async () => {
    const key = createLogKey();
    const { files } = await publishedFiles(RECORDS, key);
    const copy = await writeCopy('tessera', files);
    const good = await run(FSCK, [copy, key.vkey]);
    expect([good.code, good.stderr]).toEqual([0, expect.stringContaining(`Successfully fsck'd log with size ${RECORDS}`)]);
    expect((await run(FSCK, [copy, createLogKey().vkey])).code).toBe(1);
  });
});

function leafAt(bundle: Uint8Array, at: number): Uint8Array {
  const view = new DataView(bundle.buffer, bundle.byteOffset);
  let offset = 0;
  for (let skipped = 0; skipped < at; skipped++) offset += 2 + view.getUint16(offset);
  return bundle.subarray(offset + 2, offset + 2 + view.getUint16(offset));
}

describe('openssl', () => {
  test.each(['ed25519', 'ecdsa-p256-sha256'] as const)(
    'checks the signature of a checkpoint (%s), and refuses another text',
    async (algorithm) => {
      const key = createLogKey(algorithm);
      const { files } = await publishedFiles(3, key);
      const { text, signatures } = parseNote(files.get('checkpoint') ?? new Uint8Array(0));
      const pem = createPublicKey({ key: Buffer.from(key.publicKey), format: 'der', type: 'spki' }).export({ type: 'spki', format: 'pem' });
      const at = (name: string) => join(folder, `openssl-${algorithm}-${name}`);
      await writeFile(at('key.pem'), pem);
      await writeFile(at('signature'), signatures[0]?.signature ?? '');
      const check = async (message: string) => {
        await writeFile(at('text'), message);
        const signature = ['-sigfile', at('signature')];
        const args = algorithm === 'ed25519' ? ['-rawin', ...signature] : ['-rawin', '-digest', 'sha256', ...signature];
        return (await run('openssl', ['pkeyutl', '-verify', '-pubin', '-inkey', at('key.pem'), '-in', at('text'), ...args])).code;
      };
      expect(await check(text)).toBe(0);
      expect(await check(text.replace('\n3\n', '\n4\n'))).toBe(1);
      expect((await readFile(at('text'), 'utf8')).includes('\n4\n')).toBe(true);
    },
  );
});
