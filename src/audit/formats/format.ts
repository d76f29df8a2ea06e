/** The formats a record can leave the log in: one line each, without a line break, whatever somebody called a thing. */
import type { CopiedRecord } from './copied-record.ts';
import { jsonl } from './jsonl.ts';
import { ocsf } from './ocsf.ts';
import { rfc5424 } from './rfc5424.ts';

export interface LogFormat {
  readonly write: (record: CopiedRecord) => string;
  /** Undefined for what is no line of this format. Nothing of it is believed yet. */
  readonly read: (line: string) => CopiedRecord | undefined;
}

export const LOG_FORMATS = { jsonl, ocsf, rfc5424 } as const satisfies Readonly<Record<string, LogFormat>>;
export type LogFormatName = keyof typeof LOG_FORMATS;
export const LOG_FORMAT_NAMES = ['jsonl', 'ocsf', 'rfc5424'] as const satisfies readonly LogFormatName[];
