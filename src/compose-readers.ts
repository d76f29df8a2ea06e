/** What reads the access log while the vault serves: the search index and the sinks. Part of the composition root. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Sequencer } from './audit/sequencer.ts';
import type { Config } from './config/config.ts';
import { codeOf } from './domain/errors.ts';
import type { Logger } from './telemetry/logger.ts';
import type { Metrics } from './telemetry/metrics.ts';
import { startLogReaders } from './vault/log-readers.ts';
import { createLogSinks, type SinkSurroundings } from './vault/log-sinks.ts';
import type { Recollection } from './vault/recollect.ts';
import { tendLog } from './vault/tend-log.ts';
import type { Vault } from './vault/vault.ts';

export interface Readers {
  /** New records have their index. */
  wake(): void;
  stop(): Promise<void>;
}

/** `raised`: the rules raised something. */
export function startReaders(
  vault: Vault,
  config: Pick<Config, 'sinkFiles' | 'sinkSecrets'>,
  log: Logger,
  metrics: Metrics,
  raised: () => void,
): Readers {
  const readers = startLogReaders(vault, {
    failed: (name, error) => log.warn('a reader of the access log waits', { name, code: codeOf(error) }),
    raised,
  });
  const sinks = createLogSinks(vault, surroundingsOf(config), {
    failed({ sink, kind, code }) {
      metrics.sinkFailed(kind, code);
      log.warn('a sink of the access log waits', { sink, code });
    },
    unreadable: (code) => log.error('the sinks of the access log cannot be read', { code }),
  });
  sinks.start();
  return {
    wake: readers.wake,
    async stop() {
      await Promise.all([readers.stop(), sinks.stop()]);
    },
  };
}

/** The log is summed up for the next start, and looked through again. Call what it returns to stop. */
export function startTending(known: Recollection, vault: Vault, sequencer: Pick<Sequencer, 'halt'>, log: Logger): () => Promise<void> {
  return tendLog(known, vault, {
    onContradiction: (error) => {
      log.error('the access log is not what was signed', { code: error.code, detail: error.detail });
      sequencer.halt(error);
    },
    onFailure: (error) => log.warn('looking through the access log waits', { code: codeOf(error) }),
  });
}

/** Read for each delivery, so that a secret or a certificate can be changed while the vault serves. */
export function surroundingsOf({ sinkFiles: files, sinkSecrets }: Pick<Config, 'sinkFiles' | 'sinkSecrets'>): SinkSurroundings {
  const read = async (name: string) => {
    if (sinkSecrets === undefined) return undefined;
    return readFile(join(sinkSecrets, name), 'utf8').catch(() => undefined); // absent, or not ours to read
  };
  return {
    files,
    async secretOf(sink) {
      const text = (await read(`${sink}.secret`))?.trim();
      // Standard Webhooks writes its secrets in this form.
      return text?.startsWith('whsec_') ? Buffer.from(text.slice('whsec_'.length), 'base64') : undefined;
    },
    async clientOf(sink) {
      const [certificate, privateKey] = await Promise.all([read(`${sink}.crt`), read(`${sink}.key`)]);
      return certificate !== undefined && privateKey !== undefined ? { certificate, privateKey } : undefined;
    },
  };
}
