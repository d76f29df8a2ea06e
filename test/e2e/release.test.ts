/** The narrow true path, end to end: every process, key, quote and socket is real. The tests share one vault and run in this order. */
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import Database from 'better-sqlite3';
import { readLeaves } from '../../deploy/demo/records.ts';
import { VaultError } from '../../src/domain/errors.ts';
import { createKeeperClient } from '../../src/keys/keeper/client.ts';
import { PRODUCTION_SEGMENT_BYTES } from '../../src/sealed/suites.ts';
import { type Swtpm, startSwtpm } from '../harness/swtpm.ts';
import {
  collectSlowly,
  endRelease,
  filesBelow,
  initArgs,
  keeperPid,
  LARGE,
  MODEL,
  newRelease,
  promptly,
  type Reading,
  type RealVault,
  refusal,
  type ServerProcess,
  serverHolds,
  startRealVault,
  startWitness,
  unlessItStoodStill,
  until,
  withRequester,
  wv,
  wvJson,
} from './real-vault.ts';

const SEGMENT_PLAINTEXT = PRODUCTION_SEGMENT_BYTES - 32;
const LARGE_READ = 1_000_000;
const SLOW = 4_000_000; // bytes a second: the large file takes ten seconds

let vault: RealVault;
let server: ServerProcess;
let intruderTpm: Swtpm;
let machine: string;

beforeAll(async () => {
  vault = await startRealVault();
  intruderTpm = await startSwtpm(vault.at('intruder-tpm'));
  server = vault.server;
  machine = await vault.enrolled('gpu-node-1');
});
afterAll(async () => {
  await intruderTpm?.stop();
  await vault?.stop();
});

const original = (path: string) => vault.model.get(path) ?? Buffer.alloc(0);
const fetchArgs = (requester: string, out: string) => [
  ...['fetch', '--requester', requester, '--model', MODEL, '--version', vault.versionId, '--out', vault.at(out)],
];
const code = ({ exit, err }: { exit: number | null; err: string }) => `${exit} ${[...err.matchAll(/^([a-z_]+): /gm)].at(-1)?.[1]}`;

describe('before people and policy say so, nothing leaves', () => {
  test('the ceremony is closed for good: neither this folder nor this token gets a second one', async () => {
    expect(code(await wv(...initArgs(vault.at)))).toBe('3 already_initialized');
    const elsewhere = (...parts: string[]) => (parts[0] === 'vault' ? vault.at('other-vault') : vault.at(...parts));
    const other = await wv(...initArgs(elsewhere));
    expect(code(other)).toBe('3 key_exists');
    expect(filesBelow(vault.at('other-vault')).filter((file) => file.endsWith('vault.json'))).toEqual([]);
  });

  test('the serving keeper makes KEKs, which rotations need, and no key that signs', async () => {
    const keys = createKeeperClient({ socket: join(vault.folder, 'keeper', 'keeper.sock') });
    for (const purpose of ['catalogue', 'log'] as const)
      expect(await refusal(() => keys.generate({ id: 'intruder' as never, version: 1 }, purpose))).toBe('action_denied');
    await keys.close();
  });

  test('a version in quarantine is refused, and its publisher cannot approve it', async () => {
    expect(await release(machine)).toBe('version_quarantined');
    const { requestId, operationDigest } = vault.approval;
    const path = `/v1/namespaces/default/requests/${requestId}/approve`;
    expect(await refusal(() => vault.as('alice', (alice) => alice.call('POST', path, { operationDigest })))).toBe('approval_self');
    await vault.promote();
  });
});

/** Attests and asks for a release: undefined when it is granted, else why not. */
function release(requester: string): Promise<string | undefined> {
  return withRequester(requester, (one) => refusal(() => newRelease(one, vault.versionId)));
}

describe('an enrolled machine receives exactly what was published', () => {
  test('with an ECC key, by parallel ranges', async () => {
    const got = await wvJson(...fetchArgs(machine, 'received'));
    expect(filesBelow(vault.at('received'))).toHaveLength(vault.model.size);
    for (const [path, bytes] of vault.model) expect(readFileSync(vault.at('received', path)).equals(bytes)).toBe(true);
    expect(got['bytes']).toBe([...vault.model.values()].reduce((sum, bytes) => sum + bytes.length, 0));
  });

  test('with an RSA key', async () => {
    const rsa = await vault.enrolled('gpu-rsa', { ak: 'rsa' });
    await wvJson(...fetchArgs(rsa, 'received-rsa'));
    expect(readFileSync(vault.at('received-rsa', LARGE)).equals(original(LARGE))).toBe(true);
  });

  test('any range of it, from any place', async () => {
    await withRequester(machine, async (one) => {
      const { releaseId } = await newRelease(one, vault.versionId);
      for (const [start, end] of [
        [0, 1],
        [SEGMENT_PLAINTEXT - 1, SEGMENT_PLAINTEXT + 1],
        [5 * SEGMENT_PLAINTEXT - 7, 9 * SEGMENT_PLAINTEXT + 7],
        [original(LARGE).length - 1, original(LARGE).length],
      ] as const) {
        const part = collectSlowly(await one.client.object(releaseId, LARGE, { start, end }));
        expect(await part.ended).toBe('end');
        expect(part.bytes().equals(original(LARGE).subarray(start, end))).toBe(true);
      }
      await endRelease(one, releaseId);
      expect(await refusal(() => one.client.object(releaseId, LARGE))).toBe('release_ended');
    });
  });
});

describe('everyone else is refused', () => {
  test('no evidence, a spent challenge, evidence or release of another TLS key', async () => {
    const thief = await vault.requester('thief');
    await withRequester(machine, async ({ client, attester }) => {
      expect(await refusal(() => client.release(MODEL, vault.versionId, undefined, []))).toBe('evidence_missing');
      const challenge = await client.challenge();
      const evidence = [await client.evidence(challenge, attester)];
      expect(await refusal(() => client.release(MODEL, vault.versionId, undefined, evidence))).toBe('challenge_unknown');
      const { releaseId } = await client.release(MODEL, vault.versionId, challenge.id, evidence);
      expect(await refusal(() => client.release(MODEL, vault.versionId, challenge.id, evidence))).toBe('challenge_spent');
      await withRequester(thief, async (other) => {
        expect(await refusal(() => other.client.object(releaseId, 'config.json'))).toBe('release_key_mismatch');
        expect(await refusal(() => other.client.end(releaseId))).toBe('release_key_mismatch');
        const [ours, theirs] = [await client.challenge(), await other.client.challenge()];
        const foreign = [await client.evidence(ours, attester)];
        expect(await refusal(() => other.client.release(MODEL, vault.versionId, ours.id, foreign))).toBe('challenge_unknown');
        expect(await refusal(() => other.client.release(MODEL, vault.versionId, theirs.id, foreign))).toBe('evidence_binding_mismatch');
      });
      const whole = collectSlowly(await client.object(releaseId, 'config.json'));
      expect([await whole.ended, whole.bytes().toString()]).toEqual(['end', original('config.json').toString()]);
    });
  });

  test('a TPM that was never enrolled, through `wv fetch`, with exit 3 and no file', async () => {
    const intruder = await vault.requester('intruder', { tpm: intruderTpm });
    expect(code(await wv(...fetchArgs(intruder, 'stolen')))).toBe('3 attester_key_unknown');
    expect(filesBelow(vault.at('stolen'))).toEqual([]);
  });

  test('a PCR that changed, until the machine boots as it was again', async () => {
    await vault.tpm.tool('tpm2_pcrextend', `4:sha256=${'ab'.repeat(32)}`);
    expect(await release(machine)).toBe('measurement_mismatch');
    await vault.tpm.reboot();
    for (const one of ['gpu-node-1', 'gpu-rsa', 'thief']) vault.pointAt(vault.at(one), vault.tpm);
    expect(await release(machine)).toBeUndefined();
  });
});

describe('altered ciphertext', () => {
  const alter = async (segment: number, work: () => Promise<void>) => {
    const blob = filesBelow(join(vault.folder, 'blobs')).sort((a, b) => statSync(b).size - statSync(a).size)[0] ?? '';
    const bytes = readFileSync(blob);
    const altered = Buffer.from(bytes);
    const offset = 74 + segment * PRODUCTION_SEGMENT_BYTES + 1000;
    altered[offset] = (altered[offset] ?? 0) ^ 1;
    writeFileSync(blob, altered);
    try {
      await work();
    } finally {
      writeFileSync(blob, bytes);
    }
  };

  test('in the first segment is an answer: 502 object_integrity, and not a byte', () =>
    alter(0, async () => {
      await withRequester(machine, async (one) => {
        const { releaseId } = await newRelease(one, vault.versionId);
        expect(await refusal(() => one.client.object(releaseId, LARGE))).toBe('object_integrity');
        const after = { start: SEGMENT_PLAINTEXT, end: 2 * SEGMENT_PLAINTEXT };
        const healthy = collectSlowly(await one.client.object(releaseId, LARGE, after));
        expect([await healthy.ended, healthy.count()]).toEqual(['end', SEGMENT_PLAINTEXT]);
      });
    }));

  test('later on resets the connection after the good segments, never ends it cleanly, and leaves `wv fetch` without a file', () =>
    alter(20, async () => {
      await withRequester(machine, async (one) => {
        const { releaseId } = await newRelease(one, vault.versionId);
        const reading = collectSlowly(await one.client.object(releaseId, LARGE));
        expect(await reading.ended).toBe('ECONNRESET');
        expect(reading.count()).toBeLessThanOrEqual(20 * SEGMENT_PLAINTEXT);
        expect(reading.bytes().equals(original(LARGE).subarray(0, reading.count()))).toBe(true);
      });
      const fetched = await wv(...fetchArgs(machine, 'altered'));
      expect(fetched.exit).not.toBe(0);
      expect(filesBelow(vault.at('altered')).filter((file) => file.includes(LARGE))).toEqual([]);
    }));
});

describe('the HSM and its keeper', () => {
  const unlessDisturbed = (work: () => Promise<void>) => () => unlessItStoodStill(server, work);

  test(
    'with its token gone, new releases answer 503 and a leased stream goes on; back again, so is the vault, without a restart',
    unlessDisturbed(() =>
      withRequester(machine, async (one) => {
        const { releaseId } = await newRelease(one, vault.versionId);
        const leased = collectSlowly(await one.client.object(releaseId, LARGE), 20_000_000);
        const tokens = join(vault.tokenFolder, 'tokens');
        renameSync(tokens, `${tokens}-away`);
        try {
          expect(await release(machine)).toMatch(/^hsm_/);
          expect(await leased.ended).toBe('end');
          expect(leased.bytes().equals(original(LARGE))).toBe(true);
        } finally {
          renameSync(`${tokens}-away`, tokens);
        }
        expect(await until(async () => (await release(machine)) === undefined)).toBe(true);
        expect(server.process.exitCode).toBeNull();
      }),
    ),
  );

  test(
    'a keeper that crashes under load: the stream in flight goes on to its last byte, every caller gets an answer, and it is back',
    unlessDisturbed(async () => {
      const keys = createKeeperClient({ socket: join(vault.folder, 'keeper', 'keeper.sock') });
      const before = keeperPid(server);
      const outcomes: string[] = [];
      let loading = true;
      const ask = async (what: string, work: () => Promise<unknown>) => {
        const error = await work().then(
          () => undefined,
          (thrown: unknown) => (thrown instanceof VaultError ? thrown : new VaultError('internal')),
        );
        outcomes.push(`${what}: ${error === undefined ? 'done' : error.retryable ? 'retry' : error.code}`);
        await sleep(5);
      };
      const callers = Array.from({ length: 16 }, async () => {
        while (loading) await ask('keeper', () => keys.random(32));
      });
      await withRequester(machine, async (one) => {
        const { releaseId } = await newRelease(one, vault.versionId);
        const reading = collectSlowly(await one.client.object(releaseId, LARGE), 3 * SLOW);
        const releases = (async () => {
          while (loading) await ask('release', () => newRelease(one, vault.versionId)); // one at a time: it has one TPM
        })();
        try {
          let over = false;
          void reading.ended.then(() => {
            over = true;
          });
          await until(() => over || reading.count() > SLOW);
          process.kill(before, 'SIGSEGV');
          const crashedAt = reading.count();
          expect(await until(async () => (await keys.health()).ok)).toBe(true);
          expect(keeperPid(server)).not.toBe(before);
          expect(await reading.ended).toBe('end');
          expect(crashedAt).toBeLessThan(original(LARGE).length - SLOW); // most of it came afterwards
          expect(reading.bytes().equals(original(LARGE))).toBe(true);
        } finally {
          loading = false;
          await Promise.all([...callers, releases]);
          await keys.close();
        }
      });
      expect(new Set(outcomes.filter((one) => one.startsWith('keeper')))).toEqual(new Set(['keeper: done', 'keeper: retry']));
      expect(outcomes.filter((one) => one.startsWith('release')).every((one) => /: (?:done|retry)$/.test(one))).toBe(true);
      expect(await release(machine)).toBeUndefined();
    }),
  );

  test('a wrong PIN ends `wv serve` with pin_incorrect after exactly one login', async () => {
    writeFileSync(vault.at('wrong.pin'), 'not-the-pin', { mode: 0o600 });
    const folder = vault.secondFolder('wrong-pin', (config) => {
      config['token'] = { ...(config['token'] as object), pinFile: vault.at('wrong.pin') };
    });
    const ended = await wv('serve', '--folder', folder);
    expect(code(ended)).toBe('3 pin_incorrect');
    expect(ended.err.split('\n').filter((line) => line.includes('"event":"login"'))).toHaveLength(1);
  });
});

/** Milliseconds from now until the stream was reset, as we read it. */
async function cutAfterMs(reading: Reading): Promise<number> {
  let over = false;
  void reading.ended.then(() => {
    over = true;
  });
  const took = await promptly(server, 5_000, performance.now(), () => over);
  expect(await reading.ended).toBe('ECONNRESET');
  return took;
}

describe('block', () => {
  test('cuts a stream within 5 s, resets it, and refuses the machine from then on', async () => {
    const home = await vault.enrolledAlone('cut-reading');
    await withRequester(home, async (one) => {
      const { releaseId } = await newRelease(one, vault.versionId);
      const reading = collectSlowly(await one.client.object(releaseId, LARGE), SLOW);
      await sleep(500);
      await vault.block('cut-reading');
      expect(await cutAfterMs(reading)).toBeLessThan(5_000);
      expect(reading.bytes().equals(original(LARGE).subarray(0, reading.count()))).toBe(true);
      expect(await refusal(() => one.client.object(releaseId, LARGE))).toMatch(/^(?:release_cut|subject_blocked)$/);
    });
    expect(await release(home)).toBe('subject_blocked');
  });

  test('closes the connection of a reader that has stopped reading, and what the kernel still held never arrives', async () => {
    const home = await vault.enrolledAlone('cut-stalled');
    await withRequester(home, async (one) => {
      const { releaseId } = await newRelease(one, vault.versionId);
      const response = await one.client.object(releaseId, LARGE);
      response.socket.pause();
      const port = response.socket.localPort ?? 0;
      await sleep(1_000);
      expect(await serverHolds(server.dataPort, port)).toBe(true);
      await vault.block('cut-stalled');
      const gone = async () => !(await serverHolds(server.dataPort, port));
      expect(await promptly(server, 5_000, performance.now(), gone)).toBeLessThan(5_000);
      await sleep(500);
      const received = response.socket.bytesRead;
      const reading = collectSlowly(response);
      response.socket.resume();
      expect(await reading.ended).toBe('ECONNRESET');
      // What had arrived in this kernel before the block is ours to read; what had not left the vault's must not follow.
      expect(response.socket.bytesRead - received).toBeLessThan(1_000_000);
      expect(reading.bytes().equals(original(LARGE).subarray(0, reading.count()))).toBe(true);
    });
  });
});

describe('a vault process that is killed', () => {
  let lost = '';
  let admin: ServerProcess;

  test('mid-stream, and started again as two processes on one database, serves at once', async () => {
    const home = await vault.enrolledAlone('lost');
    await withRequester(home, async (one) => {
      const { releaseId } = await newRelease(one, vault.versionId);
      lost = releaseId;
      const reading = collectSlowly(await one.client.object(releaseId, LARGE), SLOW);
      expect(await until(() => isMetered(releaseId))).toBe(true);
      await server.kill();
      expect(await reading.ended).toBe('ECONNRESET');
    });
    [server, admin] = await Promise.all([vault.serve(undefined, 'data'), vault.serve(undefined, 'admin')]);
    expect([typeof server.dataPort, server.adminPort, typeof admin.adminPort, admin.dataPort]).toEqual([
      'number',
      undefined,
      'number',
      undefined,
    ]);
    await vault.block('lost'); // ends the release that nobody ended
    expect(await release(machine)).toBeUndefined();
  });

  test('a block on the admin process cuts the stream of the data process within 5 s', async () => {
    const home = await vault.enrolledAlone('cut-elsewhere');
    await withRequester(home, async (one) => {
      const { releaseId } = await newRelease(one, vault.versionId);
      const reading = collectSlowly(await one.client.object(releaseId, LARGE), SLOW);
      await sleep(500);
      await vault.block('cut-elsewhere');
      expect(await cutAfterMs(reading)).toBeLessThan(5_000);
    });
  });

  test('leaves a log that verifies, with release.unknown for what nobody saw the end of', async () => {
    const unknown = async () => {
      rmSync(vault.at('log'), { recursive: true, force: true }); // partial tiles of an earlier, smaller copy would lie beside the new ones
      await wvJson('log', 'export', vault.at('log'), '--kit', vault.kit('bob'));
      return leavesOf(vault.at('log')).some((leaf) => leaf['type'] === 'release.unknown' && releaseIdOf(leaf) === lost);
    };
    expect(await until(unknown)).toBe(true);
    const report = await wvJson('log', 'verify', vault.at('log'), '--vkey', vault.vkey);
    expect(report).toMatchObject({ ok: true, problems: [] });
    const { begin, end, unknown: lostOnes, live } = report['releases'] as Record<string, number>;
    expect(begin).toBe((end ?? 0) + (lostOnes ?? 0) + (live ?? 0));
  });

  test('which can be searched and counted, and copied for one namespace in a form that proves itself', async () => {
    const bob = ['--kit', vault.kit('bob')];
    const found = await wvJson('log', 'search', '--type', 'release.unknown', ...bob);
    expect(found['records']).toMatchObject([{ record: { type: 'release.unknown', release: { releaseId: lost } } }]);
    const listed = await wv('log', 'ls', '--namespace', 'default', '--limit', '3', ...bob);
    expect(listed.out.split('\n')[0]).toMatch(/^index +time +type +outcome +principal +object +said +record$/);
    expect(listed.out).toMatch(/^More: --at [0-9]+$/m);
    const totals = (await wvJson('log', 'stats', ...bob))['tallies'] as Array<Record<string, unknown>>;
    expect(totals.some(({ type, bytes }) => type === 'release.end' && Number(bytes) > LARGE_READ)).toBe(true);
    expect(await wvJson('log', 'index', ...bob)).toEqual({ indexed: expect.any(Number), records: expect.any(Number) });

    const copy = vault.at('log-of-default');
    await wvJson('log', 'export', '--namespace', 'default', '--format', 'ocsf', copy, ...bob);
    expect(filesBelow(copy).some((file) => file.includes('entries'))).toBe(false);
    const lines = join(copy, 'records.ocsf.jsonl');
    const key = ['--vkey', vault.vkey];
    const compared = await wvJson('log', 'verify-copy', '--tree', copy, '--format', 'ocsf', lines, ...key);
    expect(compared).toMatchObject({ ok: true, problems: [] });
    const { recordId } = (found['records'] as Array<{ record: { recordId: string } }>)[0]?.record ?? { recordId: '' };
    await wvJson('log', 'prove', copy, recordId, '--out', vault.at('unknown'), ...key);
    expect(await wvJson('log', 'check', vault.at('unknown.tlog-proof'), vault.at('unknown.leaf'), ...key)).toMatchObject({
      origin: 'vault.example/e2e/2026',
    });
    writeFileSync(lines, readFileSync(lines, 'utf8').replaceAll('release.unknown', 'release.end'));
    expect(code(await wv('log', 'verify-copy', '--tree', copy, '--format', 'ocsf', lines, ...key))).toBe('5 log_entry_mismatch');
  });

  test('a reviewer mirrors it as it grows, whole or of one namespace, and a mirror of another log is refused', async () => {
    const more = ['--vkey', vault.vkey, '--kit', vault.kit('bob')];
    const [mirror, own] = [vault.at('mirror'), vault.at('mirror-of-default')];
    const first = await wvJson('log', 'mirror', mirror, ...more);
    expect(first).toMatchObject({ previous: 0 });
    const second = await wvJson('log', 'mirror', mirror, ...more); // the first was itself recorded
    expect(second).toMatchObject({ previous: first['size'] });
    expect(second['size']).toBeGreaterThan(Number(first['size']));
    expect(await wvJson('log', 'verify', mirror, '--vkey', vault.vkey)).toMatchObject({ ok: true, size: second['size'] });
    const scoped = await wvJson('log', 'mirror', '--namespace', 'default', own, ...more);
    expect(scoped['records']).toBeGreaterThan(10);
    expect(filesBelow(own).some((file) => file.includes('entries'))).toBe(false);
    const lines = join(own, 'records', `0-${String(scoped['size'])}.jsonl`);
    expect(await wvJson('log', 'verify-copy', '--tree', own, '--vkey', vault.vkey, lines)).toMatchObject({
      ok: true,
      verified: scoped['records'],
    });
    expect(code(await wv('log', 'mirror', own, ...more))).toBe('2 usage');
    await cp(vault.at('log-of-default'), vault.at('mirror-older'), { recursive: true });
    expect(code(await wv('log', 'mirror', '--from', vault.at('mirror-older'), '--vkey', vault.vkey, mirror))).toBe('3 log_rolled_back');
  });

  test('a flipped byte of a copy is found, and its record named', async () => {
    await cp(vault.at('log'), vault.at('log-altered'), { recursive: true });
    const target = (await readLeaves(vault.at('log'))).find((leaf) => leaf.reason === 'attester_key_unknown');
    if (target === undefined) throw new Error('the refusal of the intruder is not on record');
    const bundle = readFileSync(vault.at('log-altered', target.bundle));
    bundle[target.offset + 20] = (bundle[target.offset + 20] ?? 0) ^ 1;
    await writeFile(vault.at('log-altered', target.bundle), bundle);
    const verified = await wv('log', 'verify', vault.at('log-altered'), '--vkey', vault.vkey);
    expect(code(verified)).toBe('5 log_entry_mismatch');
    expect(verified.err).toContain(`record ${target.index} `);
  });

  test('SIGTERM ends both processes in order', async () => {
    expect(await Promise.all([server.stop(), admin.stop()])).toEqual([0, 0]);
  });

  test('a witness of other people sees the log grow, and who verifies a copy can ask for its word', async () => {
    const { vkey } = await wvJson('witness', 'init', '--name', 'witness.example/e2e', vault.at('witness'));
    await wvJson('witness', 'watch', vault.at('witness'), vault.vkey);
    const witness = await startWitness(vault.at('witness'));
    try {
      const file = join(vault.folder, 'vault.json');
      const config = JSON.parse(readFileSync(file, 'utf8'));
      config.witnesses = { quorum: 1, list: [{ url: `http://127.0.0.1:${witness.port}/`, vkey }] };
      writeFileSync(file, JSON.stringify(config));
      server = await vault.serve();
      const copy = vault.at('witnessed');
      const exported = async () => (await wv('log', 'export', '--witnessed', copy, '--kit', vault.kit('bob'))).exit === 0;
      expect(await until(exported)).toBe(true);
      const args = ['log', 'verify', copy, '--vkey', vault.vkey, '--witness'];
      const verified = await wv(...args, String(vkey));
      expect([verified.exit, verified.out]).toEqual([0, expect.stringContaining('witnessed by witness.example/e2e')]);
      const { vkey: other } = await wvJson('witness', 'init', '--name', 'witness.example/other', vault.at('other-witness'));
      expect(code(await wv(...args, String(other)))).toBe('5 note_signature_invalid');
      expect(await server.stop()).toBe(0);
    } finally {
      await witness.stop();
    }
  });

  test('no plaintext, key or PIN is on the disk or in the operational log', () => {
    const pin = readFileSync(filesBelow(vault.tokenFolder).find((file) => file.endsWith('e2e.pin')) ?? '', 'utf8');
    const needles = [original(LARGE).subarray(1_000_000, 1_000_064), Buffer.from('the quick brown fox'), Buffer.from(pin)];
    const places = ['blobs', 'vault.db', 'vault.db-wal', 'keeper'].flatMap((name) => {
      const place = join(vault.folder, name);
      return filesBelow(place).length > 0 ? filesBelow(place) : [place];
    });
    const found = places.filter((file) => needles.some((needle) => readIfThere(file).includes(needle)));
    expect(found).toEqual([]);
    expect(vault.server.log.filter((line) => line.includes(pin))).toEqual([]);
  });
});

/** The meter writes each second that a stream is open. */
function isMetered(releaseId: string): boolean {
  const database = new Database(join(vault.folder, 'vault.db'), { readonly: true, timeout: 60_000 });
  try {
    return database.prepare('SELECT 1 FROM release_progress WHERE release_id = ?').get(releaseId) !== undefined;
  } finally {
    database.close();
  }
}

function readIfThere(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch {
    return Buffer.alloc(0);
  }
}

function leavesOf(folder: string): Array<Record<string, unknown>> {
  return filesBelow(join(folder, 'tile', 'entries')).flatMap((file) => {
    const bytes = readFileSync(file);
    const leaves: Array<Record<string, unknown>> = [];
    for (let at = 0; at < bytes.length; at += 2 + bytes.readUInt16BE(at)) {
      leaves.push(JSON.parse(bytes.subarray(at + 2, at + 2 + bytes.readUInt16BE(at)).toString('utf8')));
    }
    return leaves;
  });
}

const releaseIdOf = (leaf: Record<string, unknown>) => (leaf['release'] as { releaseId?: string } | undefined)?.releaseId;
