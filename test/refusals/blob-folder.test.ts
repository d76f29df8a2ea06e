/**
 * Whoever writes the blob folder: plaintext, foreign and older ciphertext, and things that are no files at all. No byte of what is not the
 * published object leaves, every refusal of content is on record, and everything else is served on.
 */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { ManifestObject } from '../../src/domain/model.ts';
import type { Granted } from '../../src/vault/release.ts';
import { codeFrom, type Machine, marker, noise, type Published, RESEARCH, TestVault } from '../vault/test-vault.ts';
import { type Bystander, bystanderOf } from './bystander.ts';

const MIB = 1 << 20;
const HEADER = 74;
/** Length, ciphertext, tag (docs/formats/sealed-object.md). */
const SEGMENT = MIB + 32;

const text = new Uint8Array(noise(3 * MIB + 5));
const other = marker(2 * MIB, 'OTHER-');
const objects = { 'weights.bin': text, 'other.bin': other };

let vault: TestVault;
let bystander: Bystander;
let machine: Machine;
let version: Published;
let granted: Granted;
/** The stored file of `weights.bin`, its true bytes, and ciphertexts that somebody could put there. */
let file: string;
let stored: Buffer;
const foreign: Record<string, Buffer> = {};

beforeAll(async () => {
  vault = await TestVault.ready();
  bystander = await bystanderOf(vault);
  machine = await vault.machine('gpu-1');
  const older = await vault.publish('falcon', 'restricted', objects);
  version = await vault.publish('falcon', 'restricted', objects);
  const model = await vault.publish('heron', 'restricted', objects);
  const tenant = await vault.publish('falcon', 'restricted', objects, RESEARCH);
  granted = await vault.granted({ machine, version });
  const fileOf = async (of: Published, path = 'weights.bin', who = machine) =>
    fileFor((await vault.opened(who, await vault.granted({ machine: who, version: of }), path)).object);
  file = await fileOf(version);
  stored = readFileSync(file);
  Object.assign(foreign, {
    object: readFileSync(await fileOf(version, 'other.bin')),
    older: readFileSync(await fileOf(older)),
    model: readFileSync(await fileOf(model)),
    tenant: readFileSync(await fileOf(tenant, 'weights.bin', bystander.machine)),
  });
});
afterAll(() => vault.remove());

beforeEach(async () => {
  granted = await vault.granted({ machine, version });
});
afterEach(async () => {
  rmSync(file, { recursive: true, force: true });
  writeFileSync(file, stored, { mode: 0o600 });
  expect(Buffer.compare(await vault.fetch(machine, granted), text)).toBe(0); // the same release goes on once the file is back
});

function fileFor(object: ManifestObject): string {
  const name = object.units[0]?.ciphertextSha256 ?? '';
  return join(vault.site.folder, 'blobs', name.slice(0, 2), name.slice(2, 4), name);
}

/** Reads to the end or the refusal: how it ended and how many bytes came, each of them published. */
async function read(): Promise<{ readonly code: string; readonly sent: number }> {
  const opened = await vault.opened(machine, granted);
  let sent = 0;
  const reading = (async () => {
    for await (const chunk of opened.read({ start: 0, end: opened.object.size }, new AbortController().signal, () => undefined)) {
      if (Buffer.compare(chunk, text.subarray(sent, sent + chunk.length)) !== 0) throw new Error(`foreign bytes at ${sent}`);
      sent += chunk.length;
    }
  })();
  return { code: await codeFrom(reading), sent };
}

async function othersAreServed(): Promise<void> {
  expect(Buffer.compare(await vault.fetch(machine, granted, 'other.bin'), other)).toBe(0);
  await bystander.served();
}

const segment = (n: number, of = stored) => of.subarray(HEADER + n * SEGMENT, HEADER + (n + 1) * SEGMENT);
const last = () => stored.subarray(HEADER + 3 * SEGMENT);
const made = (...parts: readonly Uint8Array[]) => Buffer.concat([stored.subarray(0, HEADER), ...parts]);
const required = (name: string): Buffer => {
  const bytes = foreign[name];
  if (bytes === undefined) throw new Error(`there is no ciphertext of ${name}`);
  return bytes;
};

describe('content that is not what was sealed for this path', () => {
  const planted: Record<string, readonly [sent: number, bytes: () => Uint8Array]> = {
    'its own plaintext': [0, () => text],
    'its own plaintext, as long as the ciphertext': [0, () => Buffer.concat([text, Buffer.alloc(stored.length - text.length)])],
    'its own plaintext behind the true header': [0, () => made(text, Buffer.alloc(stored.length - HEADER - text.length))],
    'its own plaintext in the second segment': [MIB, () => made(segment(0), text.subarray(0, SEGMENT), segment(2), last())],
    'another object of the same version': [0, () => required('object')],
    'the same path of an older upload, the same content': [0, () => required('older')],
    'the same path of another model': [0, () => required('model')],
    'the same path of another tenant': [0, () => required('tenant')],
    'the second segment of an older upload': [MIB, () => made(segment(0), segment(1, required('older')), segment(2), last())],
    'nothing: an empty file': [0, () => new Uint8Array(0)],
    'the header alone': [0, () => stored.subarray(0, HEADER)],
    'all but the last byte': [0, () => stored.subarray(0, -1)],
    'all but the last segment': [0, () => stored.subarray(0, HEADER + 3 * SEGMENT)],
    'half a segment': [0, () => stored.subarray(0, HEADER + 1000)],
    'two segments exchanged': [MIB, () => made(segment(0), segment(2), segment(1), last())],
    'a segment twice in place of the next': [MIB, () => made(segment(0), segment(0), segment(2), last())],
    'a segment twice, the rest moved on': [MIB, () => made(segment(0), segment(0), segment(1), segment(2), last())],
    'a segment left out, the rest moved up': [MIB, () => made(segment(0), segment(2), last(), Buffer.alloc(SEGMENT))],
    'the last segment early': [2 * MIB, () => made(segment(0), segment(1), last(), segment(2))],
    'a byte put in': [2 * MIB, () => made(segment(0), segment(1), Buffer.of(0), segment(2), last())],
    zeroes: [0, () => Buffer.alloc(stored.length)],
  };

  test.each(Object.entries(planted))('%s: object_integrity, and nothing of a bad segment leaves', async (_what, [sent, bytes]) => {
    writeFileSync(file, bytes());
    expect(await read()).toEqual({ code: 'object_integrity', sent });
    expect(vault.records('object.integrity').at(-1)).toMatchObject({
      outcome: 'failure',
      reason: 'object_integrity',
      actor: { kind: 'requester', subjectId: machine.subjectId },
      release: { releaseId: granted.permit.releaseId, begin: granted.permit.recordId },
      object: { versionId: version.versionId },
    });
    await othersAreServed();
  });

  test('bytes behind the end are never read: exactly what was published leaves', async () => {
    appendFileSync(file, text.subarray(0, 100_000));
    expect(await read()).toEqual({ code: 'nothing thrown', sent: text.length });
  });

  test('gone while it is read: object_integrity after the good segments', async () => {
    const opened = await vault.opened(machine, granted);
    const reading = opened.read({ start: 0, end: opened.object.size }, new AbortController().signal, () => undefined);
    expect((await reading.next()).done).toBe(false);
    truncateSync(file, 0);
    const rest = (async () => {
      for await (const _ of reading);
    })();
    expect(await codeFrom(rest)).toBe('object_integrity');
    expect(vault.records('object.integrity').at(-1)).toMatchObject({ release: { releaseId: granted.permit.releaseId } });
    await othersAreServed();
  });

  test('no file: object_integrity, on record', async () => {
    rmSync(file);
    expect(await read()).toEqual({ code: 'object_integrity', sent: 0 });
    expect(vault.records('object.integrity').at(-1)).toMatchObject({ release: { releaseId: granted.permit.releaseId } });
    await othersAreServed();
  });
});

describe('what is no file', () => {
  const aside = () => `${file}.aside`;
  const planted: Record<string, () => void> = {
    'a link to the plaintext': () => {
      writeFileSync(aside(), text);
      symlinkSync(aside(), file);
    },
    'a link to the true ciphertext': () => {
      writeFileSync(aside(), stored);
      symlinkSync(aside(), file);
    },
    'a link to a device': () => symlinkSync('/dev/zero', file),
    'a link to itself': () => symlinkSync(file, file),
    'a directory': () => mkdirSync(file),
    'a pipe without a writer': () => void execFileSync('mkfifo', [file]),
  };

  test.each(Object.entries(planted))('%s: blob_unavailable at once, and not a byte', async (_what, plant) => {
    rmSync(file);
    plant();
    try {
      const records = vault.records().length;
      expect(await read()).toEqual({ code: 'blob_unavailable', sent: 0 }); // a pipe would be waited for without end
      expect(vault.records().length).toBe(records); // an outage to its reader: asked again later, it may be the blob again
      await othersAreServed();
    } finally {
      rmSync(aside(), { force: true });
    }
  });

  test('a file that may not be read: blob_unavailable, and not a byte', async () => {
    await asNobody(async () => expect(await read()).toEqual({ code: 'nothing thrown', sent: text.length }));
    chmodSync(file, 0);
    await asNobody(async () => expect(await read()).toEqual({ code: 'blob_unavailable', sent: 0 }));
    chmodSync(file, 0o600);
    await othersAreServed();
  });

  test('another folder in the place of the blob folder: blob_unavailable, not "missing"', async () => {
    const folder = join(vault.site.folder, 'blobs');
    renameSync(folder, `${folder}.true`);
    mkdirSync(folder);
    try {
      expect(await read()).toEqual({ code: 'blob_unavailable', sent: 0 });
      expect(await codeFrom(bystander.served())).toBe('blob_unavailable');
    } finally {
      rmSync(folder, { recursive: true });
      renameSync(`${folder}.true`, folder);
    }
    await othersAreServed();
  });
});

/** The superuser may read everything: for as long as `work` takes the process is somebody else, who owns the folder. */
async function asNobody(work: () => Promise<void>): Promise<void> {
  if (process.geteuid?.() !== 0) return work();
  const NOBODY = 65_534;
  const below = readdirSync(vault.site.folder, { recursive: true }).map((name) => join(vault.site.folder, String(name)));
  const owned = [vault.site.folder, ...below];
  for (const path of owned) chownSync(path, NOBODY, NOBODY);
  expect(lstatSync(file).uid).toBe(NOBODY);
  process.seteuid?.(NOBODY);
  try {
    await work();
  } finally {
    process.seteuid?.(0);
    for (const path of owned) chownSync(path, 0, 0);
  }
}
