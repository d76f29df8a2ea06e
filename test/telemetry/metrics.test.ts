import { describe, expect, test } from '@jest/globals';
import { createMetrics } from '../../src/telemetry/metrics.ts';

/** Neither store nor keeper answers. */
const silent: Parameters<ReturnType<typeof createMetrics>['watch']>[0] = {
  ready: async () => false,
  revocationsStale: () => true,
  logHalted: () => true,
  logRoom: () => 1,
  readers: async () => ({ search: 3, sinks: 2, behind: 40, lagSeconds: 61, refusing: 0 }),
  witnessLag: () => 2.5,
  log: () => Promise.reject(new Error('no store')),
  keys: () => Promise.reject(new Error('no store')),
  sessions: () => Promise.reject(new Error('no keeper')),
};

describe('figures', () => {
  test('of the process: memory and the lag of the event loop', async () => {
    const metrics = createMetrics();
    metrics.watchProcess();
    expect(await metrics.text()).toMatch(/^nodejs_eventloop_lag_p99_seconds [\d.e-]+$/m);
    expect(await metrics.text()).toMatch(/^process_resident_memory_bytes \d+$/m);
    expect(metrics.contentType).toMatch(/^text\/plain/);
  });

  test('two vaults in one process keep their own', async () => {
    const [one, other] = [createMetrics(), createMetrics()];
    one.bytesSent(5);
    expect(await one.text()).toContain('weight_vault_plaintext_bytes_total 5');
    expect(await other.text()).toContain('weight_vault_plaintext_bytes_total 0');
  });

  test('streams under way go up and down', async () => {
    const metrics = createMetrics();
    const [first] = [metrics.streamOpened(), metrics.streamOpened()];
    first?.();
    expect(await metrics.text()).toContain('weight_vault_streams_open 1');
  });

  test('a store that does not answer makes no figure up, and the others are still told', async () => {
    const metrics = createMetrics();
    metrics.watch(silent);
    const text = await metrics.text();
    expect(text).toContain('weight_vault_log_records Nan');
    expect(text).toContain('weight_vault_kek_days_left Nan');
    expect(text).toContain('weight_vault_keeper_sessions Nan');
    for (const line of ['weight_vault_ready 0', 'weight_vault_revocations_stale 1', 'weight_vault_log_halted 1'])
      expect(text).toContain(line);
  });
  test('of the HSM: its sessions, those that an operation has, and how many operations wait', async () => {
    const metrics = createMetrics();
    metrics.watch({ ...silent, sessions: async () => ({ sessions: 4, busy: 3, waiting: 17 }) });
    const text = await metrics.text();
    for (const line of ['keeper_sessions 4', 'keeper_sessions_busy 3', 'keeper_operations_waiting 17'])
      expect(text).toContain(`weight_vault_${line}\n`);
  });
});
