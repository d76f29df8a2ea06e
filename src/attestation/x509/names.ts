/** Distinguished names for people and for comparison of single parts. RFC 4514. */
import { type DerNode, expectTag, oidText, TAG } from './der.ts';

/** The table of RFC 4514, 3; everything else is written as its number. */
const SHORT: Readonly<Record<string, string>> = {
  '0.9.2342.19200300.100.1.1': 'UID',
  '0.9.2342.19200300.100.1.25': 'DC',
  '2.5.4.3': 'CN',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.9': 'STREET',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
};

export interface Name {
  /** DER: names are compared byte for byte. */
  readonly whole: Uint8Array;
  readonly parts: ReadonlyArray<{ readonly type: string; readonly value: string }>;
}

/** Throws Malformed. */
export function readName(node: DerNode | undefined): Name {
  const { whole, children } = expectTag(node, TAG.sequence);
  const parts = children.flatMap((set) =>
    expectTag(set, TAG.set).children.map((part) => {
      const [id, value] = expectTag(part, TAG.sequence).children;
      const oid = oidText(id);
      return { type: SHORT[oid] ?? oid, value: Buffer.from(value?.contents ?? []).toString('utf8') };
    }),
  );
  return { whole, parts };
}

/** Last part first, special characters escaped: `CN=ARK-Milan,O=Advanced Micro Devices,...`. */
export function nameText({ parts }: Name): string {
  const escaped = (value: string) => value.replaceAll(/[\\",+<>;]/g, '\\$&').replaceAll(/^[ #]| $/g, '\\$&');
  return parts
    .map(({ type, value }) => `${type}=${escaped(value)}`)
    .toReversed()
    .join(',');
}

/** The one value of that type; undefined when there is none, or more than one. */
export function partOf({ parts }: Name, type: 'CN' | 'O'): string | undefined {
  const [only, ...more] = parts.filter((part) => part.type === type);
  return more.length === 0 ? only?.value : undefined;
}
