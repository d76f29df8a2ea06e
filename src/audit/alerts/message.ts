/** What is said of an alert outside: the same facts as JSON, as text for a person, and as one syslog line. */
import { utf8 } from '../../domain/bytes.ts';
import type { VaultId } from '../../domain/ids.ts';
import type { AlertLevel } from '../record.ts';
import type { AlertRow, DeliveryRow } from './port.ts';

export type AlertMessage = ReturnType<typeof alertMessage>;

/** `repeated`: alerts about the same thing that were not sent since the last one; `storm`: alerts that were kept back because there were too many. */
export function alertMessage(
  { recordId, raisedAt, rule, ruleId, title, level, matches, first, last, group, acted }: AlertRow,
  { repeated, storm }: Pick<DeliveryRow, 'repeated' | 'storm'>,
  vaultId: VaultId,
) {
  const about = { recordId, raisedAt: raisedAt.toISOString(), rule, ruleId, title, level, matches, first, last, group };
  return { type: 'alert' as const, vaultId, ...about, ...(acted !== undefined && { acted }), repeated, storm };
}

/** A sign of life. Whoever misses two of them knows that nobody would tell. */
export function heartbeatMessage(vaultId: VaultId, at: Date, everySeconds: number, records: number, behind: number) {
  return { type: 'heartbeat' as const, vaultId, at: at.toISOString(), everySeconds, records, behind };
}

export function asText(message: AlertMessage): { readonly subject: string; readonly text: string } {
  const { rule, level, title, raisedAt, recordId, matches, first, last, group, acted, repeated, storm, vaultId } = message;
  const lines = [
    title,
    '',
    ...Object.entries(group).map(([name, value]) => `${name}: ${value}`),
    `records: ${matches} of them, from ${first} to ${last}`,
    `raised: ${raisedAt}, on record as ${recordId}`,
    `vault: ${vaultId}`,
    ...(acted === undefined ? [] : ['', `The vault did by itself: ${acted}. Two people lift it: wv lift`]),
    ...(repeated === 0 ? [] : ['', `${repeated} more about the same were not sent.`]),
    ...(storm === 0 ? [] : ['', `${storm} alerts were kept back, because there were too many: wv alerts ls`]),
    '',
    `wv alerts show ${recordId}`,
  ];
  return { subject: `[${level}] ${rule} ${title}`, text: `${lines.join('\n')}\n` };
}

/** RFC 5424 severities. */
const SEVERITIES: Readonly<Record<AlertLevel, number>> = { critical: 2, high: 3, medium: 4, low: 5, informational: 6 };
/** log alert (13). */
const FACILITY = 13;

/** RFC 5424: the facts as one structured element, the title as text. Everything in them is escaped already, as leaves are. */
export function asSyslog(message: AlertMessage, node: string): Uint8Array {
  const { level, raisedAt, rule, recordId, matches, first, last, title, acted, repeated, storm, vaultId, group } = message;
  const said = { vault: vaultId, record: recordId, rule, level, matches, first, last, repeated, storm, ...(acted && { acted }), ...group };
  const element = Object.entries(said).map(([name, value]) => `${name.slice(0, 32)}="${String(value).replaceAll(/["\\\]]/g, '\\$&')}"`);
  // 32473 is the enterprise number of examples (RFC 5612): we have none of our own.
  return utf8(
    `<${FACILITY * 8 + SEVERITIES[level]}>1 ${raisedAt} - weight-vault ${node} alert [alert@32473 ${element.join(' ')}] ${title}`,
  );
}
