/** Syslog messages (RFC 5424): the leaf is the message, and one structured-data element says where it stands in the tree. */
import { fromBase64, toBase64 } from '../../domain/bytes.ts';
import { safeJson } from '../../domain/json.ts';
import { textAt } from '../said.ts';
import { type CopiedRecord, canonicalSaid, leafOfText } from './copied-record.ts';
import type { LogFormat } from './format.ts';

export interface SyslogMessage {
  /** RFC 5424 table 2: 0 emergency to 7 debug. */
  readonly severity: number;
  /** ISO 8601, UTC; undefined: not known. */
  readonly time: string | undefined;
  readonly host: string;
  readonly process: string;
  readonly id: string;
  readonly data: Readonly<Record<string, string>>;
  readonly text: string;
}

/** "log audit" (RFC 5424 table 1). */
const FACILITY = 13;
/** 32473 is the enterprise number that RFC 5612 keeps for examples: we have none. */
const ELEMENT = 'log@32473';

export function syslogMessage({ severity, time, host, process, id, data, text }: SyslogMessage): string {
  const params = Object.entries(data).map(([name, value]) => ` ${name}="${value.replaceAll(/[\\"\]]/g, '\\$&')}"`);
  const header = [word(time, 32), word(host, 255), 'weight-vault', word(process, 128), word(id, 32)];
  return `<${FACILITY * 8 + severity}>1 ${header.join(' ')} [${ELEMENT}${params.join('')}] ${text}`;
}

export const rfc5424: LogFormat = {
  write: ({ origin, index, leafHash, leaf }) => {
    const said = canonicalSaid(leaf);
    const data = { origin, index: String(index), leafHash };
    return syslogMessage({
      severity: severityOf(textAt(said, 'type'), textAt(said, 'outcome')),
      time: textAt(said, 'time'),
      host: textAt(said, 'vaultId') ?? '',
      process: textAt(said, 'node') ?? '',
      id: textAt(said, 'type') ?? '',
      data: said === undefined ? { ...data, leaf: toBase64(leaf) } : data,
      text: said === undefined ? '' : safeJson(said),
    });
  },
  read: (line) => {
    const [, element = '', text = ''] = MESSAGE.exec(line) ?? [];
    const data = Object.fromEntries([...element.matchAll(PARAM)].map(([, name, value]) => [name, value?.replaceAll(/\\(["\\\]])/g, '$1')]));
    const { origin, index = '', leafHash, leaf } = data;
    if (origin === undefined || leafHash === undefined || !/^[0-9]{1,15}$/.test(index)) return undefined;
    return {
      origin,
      index: Number(index),
      leafHash,
      leaf: leaf === undefined ? leafOfText(text) : fromBase64(leaf),
    } satisfies CopiedRecord;
  },
};

const VALUE = String.raw`"((?:[^"\\\]]|\\.)*)"`;
const PARAM = new RegExp(` ([A-Za-z]+)=${VALUE}`, 'g');
const MESSAGE = new RegExp(
  String.raw`^(?:<\d{1,3}>1 )?\S+ \S+ \S+ \S+ \S+ \[log@32473((?: [A-Za-z]+=${VALUE.replace('(', '(?:')})*)\] ?(.*)$`,
);

/** PRINTUSASCII of at most so many characters, else the nil value. */
function word(text: string | undefined, most: number): string {
  return text !== undefined && text.length > 0 && text.length <= most && /^[!-~]+$/.test(text) ? text : '-';
}

const CRITICAL: ReadonlySet<string | undefined> = new Set([
  'object.integrity',
  'alert.raised',
  'decoy.touched',
  'log.halted',
  'log.conflict',
]);

function severityOf(type: string | undefined, outcome: string | undefined): number {
  if (CRITICAL.has(type)) return 2;
  if (outcome === 'failure') return 3;
  return outcome === 'deny' ? 4 : 6;
}
