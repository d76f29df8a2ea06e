/** Where records of the access log are sent, as two people signed it. Secrets and paths are not in it: they are settings of the machine. */
import { z } from 'zod';
import { name } from './forms.ts';

const common = {
  name,
  /** For a sink that is new: all records, or those that come from now on. */
  from: z.enum(['first', 'next']),
  /** Nothing new is released while this sink is further behind than either. Absent: releases never wait for it. */
  required: z.strictObject({ seconds: z.int().min(5).max(86_400), records: z.int().min(100).max(1_000_000) }).optional(),
};
const receiver = {
  ...common,
  host: z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$/),
  port: z.int().min(1).max(65_535),
  /** PEM of the authorities that may vouch for the host; absent: those that Node ships. */
  ca: z.string().max(32_768).optional(),
};

export const logSink = z.discriminatedUnion('kind', [
  z.strictObject({ ...receiver, kind: z.literal('syslog') }),
  z.strictObject({
    ...receiver,
    kind: z.literal('webhook'),
    path: z.string().regex(/^\/[\x21-\x7e]{0,1023}$/),
    format: z.enum(['jsonl', 'ocsf']),
  }),
  z.strictObject({
    ...common,
    kind: z.literal('file'),
    format: z.enum(['jsonl', 'ocsf', 'rfc5424']),
    /** A file that has reached it is followed by another. */
    rotateBytes: z.int().min(65_536).max(4_294_967_296),
  }),
]);

export const logSinkList = z
  .array(logSink)
  .max(16)
  .refine((sinks) => new Set(sinks.map((sink) => sink.name)).size === sinks.length, 'two sinks share a name');

export type LogSink = Readonly<z.output<typeof logSink>>;
