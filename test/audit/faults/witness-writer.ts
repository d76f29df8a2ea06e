/** Child process of the crash tests: `FOLDER` is a witness, with requests.json in it. Answers each request, and says `ack <size>` when it gave its cosignature. */
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type AnswerOptions, addCheckpoint } from '../../../src/witness/answer.ts';
import { watchedLogs, witnessedHeads, witnessIdentity } from '../../../src/witness/folder.ts';

export interface Asked {
  readonly size: number;
  /** Base64 of an `add-checkpoint` request that goes on from the size before. */
  readonly body: string;
}

export function askedIn(folder: string): readonly Asked[] {
  return JSON.parse(readFileSync(join(folder, 'requests.json'), 'utf8'));
}

/** As `wv witness serve` opens it. */
export function opened(folder: string): AnswerOptions {
  const identity = witnessIdentity(folder);
  return { identity, logs: watchedLogs(folder), heads: witnessedHeads(folder, identity.key), now: () => new Date() };
}

if (import.meta.main) {
  const folder = process.argv[2] ?? '';
  const options = opened(folder);
  for (const { size, body } of askedIn(folder)) {
    const { status } = await addCheckpoint(new Uint8Array(Buffer.from(body, 'base64')), options);
    if (status !== 200) throw new Error(`${size} was answered ${status}`);
    writeSync(1, `ack ${size}\n`);
  }
  options.heads.close();
}
