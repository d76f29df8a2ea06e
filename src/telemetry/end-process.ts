import type { Logger } from './logger.ts';

const END_MS = 50;

/** A disk that failed once is not asked again: the process ends with exit code 1, and its next start verifies what is there. */
export function endProcess(log: Logger): (error: unknown) => void {
  return (error) => {
    log.error('a disk of the access log failed: this process ends', { cause: String((error as { code?: unknown }).code) });
    setTimeout(() => process.exit(1), END_MS); // until the line is written
  };
}
