/** Keys: what the keeper costs beside its own PKCS#11 library, how it takes many callers and a slow HSM, and how fast it rewraps. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { SecretBytes } from '../../src/domain/secret.ts';
import { createAwsKmsKeyProvider } from '../../src/keys/aws-kms/provider.ts';
import { noKms, startKms } from '../../test/harness/kms.ts';
import type { BenchOptions, Report } from '../area.ts';
import { aadOf, type BenchKeeper, type BenchToken, kek, LABEL, makeToken, startBenchKeeper } from '../keys/bench-keeper.ts';

export const about = 'unwraps a second through the keeper beside raw pkcs11js, many callers, a slow HSM, rewraps';

const RAW = fileURLToPath(new URL('../keys/raw.ts', import.meta.url));
const CALLERS = [1, 16, 64];
const SESSIONS = [1, 4, 16];
const SLOW_MS = 5;

export async function run(options: BenchOptions, report: Report): Promise<void> {
  const token = await makeToken();
  try {
    const part = (name: string, work: () => Promise<void>) => work().catch((error) => report.failed(name, error));
    await part('callers', () => withKeeper(token, {}, (keeper) => measureCallers(token, keeper, options, report)));
    await part('rewraps', () => withKeeper(token, {}, (keeper) => measureRewraps(keeper, options, report)));
    await part('slow HSM', () => measureSlow(token, options, report));
    await part('AWS KMS', () => measureKms(options, report));
    await part('threads', () => withKeeper(token, { calls: 'threads' }, (keeper) => measureThreads(keeper, options, report)));
  } finally {
    token.remove();
  }
}

async function withKeeper(
  token: BenchToken,
  settings: Parameters<typeof startBenchKeeper>[1],
  work: (keeper: BenchKeeper) => Promise<void>,
  delayMs = 0,
): Promise<void> {
  const keeper = await startBenchKeeper(token, settings, delayMs);
  try {
    await work(keeper);
  } finally {
    await keeper.stop();
  }
}

interface Load {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

async function unwraps({ client, wrapped }: Pick<BenchKeeper, 'client' | 'wrapped'>, callers: number, seconds: number): Promise<Load> {
  const aad = aadOf(1);
  const times: number[] = [];
  const end = performance.now() + seconds * 1000;
  const startedAt = performance.now();
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() < end) {
        const at = performance.now();
        (await client.unwrap(wrapped, aad)).dispose();
        times.push(performance.now() - at);
      }
    }),
  );
  const perSecond = times.length / ((performance.now() - startedAt) / 1000);
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
  return { perSecond, p50Ms: at(0.5), p99Ms: at(0.99) };
}

/** Raw before and after, because the machine is not the same all the time; the better of the rounds counts, for both. */
async function measureCallers({ token }: BenchToken, keeper: BenchKeeper, { quick, rounds }: BenchOptions, report: Report): Promise<void> {
  const seconds = quick ? 0.3 : 2;
  const raw = () => rawUnwraps(token, seconds);
  await unwraps(keeper, 16, seconds);
  const found = new Map<number, Load>();
  let best = raw();
  for (let round = 0; round < rounds; round++) {
    for (const callers of CALLERS) {
      const load = await unwraps(keeper, callers, seconds);
      if (load.perSecond > (found.get(callers)?.perSecond ?? 0)) found.set(callers, load);
    }
    best = Math.max(best, raw());
  }
  const p99of1 = found.get(1)?.p99Ms ?? Number.NaN;
  for (const [callers, { perSecond, p50Ms, p99Ms }] of found) {
    const peer = { peer: 'pkcs11js in a loop', peerValue: best };
    const target = callers === 16 ? { target: { of: 'ratio', atLeast: 0.5 } as const } : {};
    report.row({ name: `unwraps, ${callers} callers`, value: perSecond, unit: '1/s', ...peer, ...target });
    report.row({ name: `unwrap p50, ${callers} callers`, value: p50Ms, unit: 'ms' });
    report.row({
      name: `unwrap p99, ${callers} callers`,
      value: p99Ms,
      unit: 'ms',
      ...(callers > 1 && {
        peer: `p99 of 1 caller x ${callers}: linear`,
        peerValue: p99of1 * callers,
        target: { of: 'ratio', atMost: 0.9 },
      }),
    });
  }
}

function rawUnwraps(token: BenchToken['token'], seconds: number): number {
  const order = { module: token.module, label: LABEL, pinFile: token.pinFile, keyId: `kek/${kek(1).id}/1`, seconds };
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', RAW], {
    input: JSON.stringify(order),
    env: { ...process.env, SOFTHSM2_CONF: token.conf },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`pkcs11js in a loop: ${stderr}`);
  return Number(stdout);
}

async function measureRewraps({ client, wrapped }: BenchKeeper, { quick }: BenchOptions, report: Report): Promise<void> {
  const count = quick ? 200 : 10_000;
  let left = count;
  const startedAt = performance.now();
  const one = async () => {
    while (left-- > 0) await client.rewrap(wrapped, aadOf(1), kek(2), aadOf(2));
  };
  await Promise.all(Array.from({ length: 32 }, one));
  const seconds = (performance.now() - startedAt) / 1000;
  report.row({
    name: `rewraps, ${count} by 32 callers`,
    value: seconds,
    unit: 's',
    ...(!quick && { target: { of: 'value', atMost: 30 } }),
  });
}

/** Each call into the library takes 5 ms longer; an unwrap is two of them. */
async function measureSlow(token: BenchToken, { quick }: BenchOptions, report: Report): Promise<void> {
  let alone: number | undefined;
  for (const sessions of quick ? [1, 4] : SESSIONS) {
    await withKeeper(
      token,
      { calls: 'threads', sessions, deadlineMs: 60_000 },
      async (keeper) => {
        const { perSecond } = await unwraps(keeper, 64, quick ? 0.5 : 3);
        alone ??= perSecond;
        report.row({
          name: `unwraps, ${SLOW_MS} ms a call, ${sessions} sessions`,
          value: perSecond,
          unit: '1/s',
          ...(sessions > 1 && { peer: `1 session x ${sessions}`, peerValue: alone * sessions, target: { of: 'ratio', atLeast: 0.5 } }),
        });
      },
      SLOW_MS,
    );
  }
}

/** An emulator on loopback answers in no time at all: what is measured is ours and the SDK's. AWS adds its network and its quotas. */
async function measureKms({ quick }: BenchOptions, report: Report): Promise<void> {
  if (noKms !== undefined) throw new Error(noKms);
  const kms = await startKms();
  const client = createAwsKmsKeyProvider(kms.config);
  try {
    await client.generate(kek(1), 'kek');
    const wrapped = await client.wrap(kek(1), new SecretBytes(new Uint8Array(32).fill(7)), aadOf(1));
    const { perSecond, p50Ms, p99Ms } = await unwraps({ client, wrapped }, 16, quick ? 0.3 : 3);
    const peer = { peer: 'nobody: a local emulator' };
    report.row({ name: 'unwraps, AWS KMS, 16 callers', value: perSecond, unit: '1/s', ...peer });
    report.row({ name: 'unwrap p50, AWS KMS, 16 callers', value: p50Ms, unit: 'ms', ...peer });
    report.row({ name: 'unwrap p99, AWS KMS, 16 callers', value: p99Ms, unit: 'ms', ...peer });
  } finally {
    await client.close();
    await kms.stop();
  }
}

/** Why inline is the default for a token in this machine. */
async function measureThreads(keeper: BenchKeeper, { quick }: BenchOptions, report: Report): Promise<void> {
  const { perSecond } = await unwraps(keeper, 16, quick ? 0.3 : 2);
  report.row({ name: 'unwraps, 16 callers, calls on threads', value: perSecond, unit: '1/s' });
}
