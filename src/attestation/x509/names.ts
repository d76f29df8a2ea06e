/** Distinguished names for people and for comparison of single parts. RFC 4514. */
import { type DerNode, oidText } from './der.ts';

const SHORT: Readonly<Record<string, string>> = {
  '2.5.4.3': 'CN',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
};

interface NamePart {
  readonly type: string;
  readonly value: string;
}

function partsOf(name: DerNode): readonly NamePart[] {
  return name.children.flatMap((set) =>
    set.children.map(({ children: [id, value] }) => {
      const oid = oidText(id);
      return { type: SHORT[oid] ?? oid, value: Buffer.from(value?.contents ?? []).toString('utf8') };
    }),
  );
}

/** Last part first, special characters escaped: `CN=ARK-Milan,O=Advanced Micro Devices,...`. */
export function nameText(name: DerNode): string {
  const escaped = (value: string) => value.replaceAll(/[\\",+<>;=]/g, '\\$&').replaceAll(/^[ #]| $/g, '\\$&');
  return partsOf(name)
    .map(({ type, value }) => `${type}=${escaped(value)}`)
    .toReversed()
    .join(',');
}

/** The one value of that type; undefined when there is none, or more than one. */
export function partOf(name: DerNode, type: 'CN' | 'O'): string | undefined {
  const [only, ...more] = partsOf(name).filter((part) => part.type === type);
  return more.length === 0 ? only?.value : undefined;
}
