/** Where the time of one release goes: the use cases called in this process, one at a time, with a stopwatch around every port. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startVault } from '../../src/compose.ts';
import { loadConfig } from '../../src/config/config.ts';
import { evidenceBinding } from '../../src/domain/evidence.ts';
import type { Namespace, VersionId } from '../../src/domain/ids.ts';
import { createDekLeases } from '../../src/keys/dek-leases.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { issueChallenge } from '../../src/vault/challenge.ts';
import { finishRelease } from '../../src/vault/finish.ts';
import { CATALOGUE_KEY } from '../../src/vault/init.ts';
import { release } from '../../src/vault/release.ts';
import type { Vault } from '../../src/vault/vault.ts';
import type { BenchOptions, Report } from '../area.ts';
import { type BenchVault, clientSpki, MODEL } from './bench-vault.ts';

/** A WAL frame is a page and 24 bytes: a transaction that writes less has written nothing. */
const FRAME_BYTES = 4096;

class Stopwatch {
  calls = 0;
  ms = 0;
  async time<T>(work: () => Promise<T>): Promise<T> {
    const begin = performance.now();
    try {
      return await work();
    } finally {
      this.calls += 1;
      this.ms += performance.now() - begin;
    }
  }
}

export async function measureReleaseCost(vault: BenchVault, options: BenchOptions, report: Report): Promise<void> {
  const count = options.quick ? 10 : 200;
  const running = await startVault(loadConfig(join(vault.real.secondFolder('release-cost'), 'vault.json')), createLogger('error'));
  try {
    const spki = clientSpki(vault.tls);
    const watched = watch(running.vault);
    for (let i = 0; i < 10; i += 1) await once(vault, watched.vault, spki);
    watched.reset();
    const whole = new Stopwatch();
    for (let i = 0; i < count; i += 1) await whole.time(() => once(vault, watched.vault, spki));
    const rows: ReadonlyArray<readonly [string, number, string]> = [
      ['one release in process, no TLS: time', whole.ms, 'ms'],
      ['one release: time in HSM signatures', watched.sign.ms, 'ms'],
      ['one release: time in evidence, its transaction included', watched.verify.ms, 'ms'],
      ['one release: time in transactions', watched.transactions.ms, 'ms'],
      ['one release: HSM signatures', watched.sign.calls, ''],
      ['one release: DEK unwraps', watched.unwrap.calls, ''],
      ['one release: transactions', watched.transactions.calls, ''],
      ['one release: transactions that write (an fsync each)', watched.commits(), ''],
    ];
    for (const [name, sum, unit] of rows) report.row({ name, value: sum / count, unit });
    watched.dispose();
  } finally {
    await running.stop();
  }
}

async function once(bench: BenchVault, vault: Vault, spki: Uint8Array): Promise<void> {
  const namespace = 'default' as Namespace;
  const { challengeId, nonce } = await issueChallenge(spki, vault);
  const answered = { challengeNonce: nonce, spki };
  const body = await bench.tpm.attest(evidenceBinding({ vaultId: vault.vaultId, ...answered }), answered);
  const asked = { requestId: 'benchmark', namespace, spki, remoteAddress: '127.0.0.1' };
  const evidence = [{ kind: bench.tpm.kind, body }];
  const version = bench.versionId as VersionId;
  const granted = await release({ ...asked, challengeId, model: MODEL, version, evidence, delivery: 'stream' }, vault);
  if (granted.refused) throw new Error(`the release was refused: ${granted.code}`);
  await finishRelease({ ...asked, releaseId: granted.permit.releaseId }, vault);
}

/** The vault with a stopwatch around its ports. */
function watch(vault: Vault) {
  const [sign, unwrap, verify, transactions] = [new Stopwatch(), new Stopwatch(), new Stopwatch(), new Stopwatch()];
  let commits = 0;
  const deks = createDekLeases({ provider: { unwrap: (wrapped, aad) => unwrap.time(() => vault.keys.unwrap(wrapped, aad)) } });
  const unitOfWork: Vault['stores']['unitOfWork'] = {
    ...vault.stores.unitOfWork,
    async run(work) {
      const before = writtenBytes();
      const result = await transactions.time(() => vault.stores.unitOfWork.run(work));
      if (writtenBytes() - before >= FRAME_BYTES) commits += 1;
      return result;
    },
  };
  const verifiers = new Map(
    [...vault.verifiers].map(([kind, one]) => [
      kind,
      { kind: one.kind, verify: (...args: Parameters<typeof one.verify>) => verify.time(() => one.verify(...args)) },
    ]),
  );
  const catalogueKey = { ...vault.catalogueKey, sign: (message: Uint8Array) => sign.time(() => vault.keys.sign(CATALOGUE_KEY, message)) };
  return {
    vault: { ...vault, stores: { ...vault.stores, unitOfWork }, deks, verifiers, catalogueKey } satisfies Vault,
    sign,
    unwrap,
    verify,
    transactions,
    commits: () => commits,
    reset() {
      for (const one of [sign, unwrap, verify, transactions]) Object.assign(one, { calls: 0, ms: 0 });
      commits = 0;
    },
    dispose: () => deks.dispose(),
  };
}

/** By this process with write calls, since it started (proc(5), io). */
function writtenBytes(): number {
  return Number(/^wchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
}
