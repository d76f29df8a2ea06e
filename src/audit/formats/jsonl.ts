/** JSON Lines: the leaf as it is, and a member `log` that says where it stands in the tree. */
import { fromBase64, toBase64 } from '../../domain/bytes.ts';
import { safeJson } from '../../domain/json.ts';
import { objectAt, saidBy, textAt } from '../said.ts';
import { type CopiedRecord, canonicalSaid, indexAt, leafOf } from './copied-record.ts';
import type { LogFormat } from './format.ts';

export const jsonl: LogFormat = {
  write: ({ leaf, ...log }) => {
    const said = canonicalSaid(leaf);
    return safeJson(said === undefined ? { log: { ...log, leaf: toBase64(leaf) } } : { log, ...said });
  },
  read: (line) => {
    const said = saidBy(Buffer.from(line));
    const log = objectAt(said, 'log');
    const [origin, index, leafHash] = [textAt(log, 'origin'), indexAt(log), textAt(log, 'leafHash')];
    if (said === undefined || origin === undefined || index === undefined || leafHash === undefined) return undefined;
    const { log: _, ...rest } = said;
    return { origin, index, leafHash, leaf: bytesOf(textAt(log, 'leaf')) ?? leafOf(rest) } satisfies CopiedRecord;
  },
};

function bytesOf(base64: string | undefined): Uint8Array | undefined {
  return base64 === undefined ? undefined : fromBase64(base64);
}
