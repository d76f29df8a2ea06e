/**
 * An archive of a closed period of the log (docs/formats/log-closing.md): a copy at one checkpoint, and the statement that two people closed the period
 * there. The statement is the vault's own record with its proof, so the log's key vouches for it like for everything else.
 */
import { toHex } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { decodeEntries } from './bundle.ts';
import type { LogCheckpoint } from './checkpoint.ts';
import { openReceipt } from './receipt.ts';
import { numberAt, saidBy, textAt } from './said.ts';
import { TILE_WIDTH, tileAt, tilePath } from './tile-path.ts';
import type { LogSource } from './verify.ts';
import { formatVkey, type VerifierKey } from './vkey.ts';

/** Beside `checkpoint`: a tlog-proof with its record, like a receipt. */
export const STATEMENT = 'closed.tlog-proof';
/** C2SP tlog-policy: whose signatures this checkpoint has. For programs; which key to believe is known from elsewhere. */
export const POLICY = 'policy';

export interface Closed {
  readonly until: string;
  /** Index of the record that says so: it stands after the period. */
  readonly index: number;
}

/** What the statement says of the archive with this checkpoint. Throws `proof_invalid` when it is of another one, `note_...` when nobody signed it. */
export function openStatement(statement: Uint8Array, vkey: string, { size, root }: LogCheckpoint): Closed {
  const { index, leaf } = openReceipt(statement, vkey);
  const closed = closedIn(leaf);
  if (closed === undefined) throw new VaultError('proof_invalid', 'the record is in the log, and closes no period of it');
  if (closed.size !== size || closed.root !== toHex(root))
    throw new VaultError('proof_invalid', `it closes the period at ${closed.size} records, and this archive is another`);
  return { until: closed.until, index };
}

/** Undefined for a record of anything else. */
export function closedIn(leaf: Uint8Array): { readonly until: string; readonly size: number; readonly root: string } | undefined {
  const said = saidBy(leaf);
  if (textAt(said, 'type') !== 'log.closed') return undefined;
  const [until, size, root] = [textAt(said, 'closed', 'until'), numberAt(said, 'closed', 'size'), textAt(said, 'closed', 'root')];
  return until === undefined || size === undefined || root === undefined ? undefined : { until, size, root };
}

/** When record `index` was made, in milliseconds; undefined when the copy (of a log of `treeSize`) does not have it, or it says no time. */
export async function timeOf(index: number, treeSize: number, source: LogSource): Promise<number | undefined> {
  const tile = tileAt(treeSize, 'entries', Math.floor(index / TILE_WIDTH));
  const bytes = tile && (await source.tile(tilePath(tile)));
  const leaf = bytes && decodeEntries(bytes, TILE_WIDTH).entries[index % TILE_WIDTH];
  const time = Date.parse(textAt(leaf && saidBy(leaf), 'time') ?? '');
  return Number.isNaN(time) ? undefined : time;
}

/** Tiles that `earlier` has are taken from there: what was pruned since, and what need not be sent again. Believe neither before the copy is verified. */
export function withEarlier(source: LogSource, earlier: LogSource | undefined): LogSource {
  if (earlier === undefined) return source;
  return { checkpoint: source.checkpoint, tile: async (path) => (await earlier.tile(path)) ?? source.tile(path) };
}

/** `quorum none` without witnesses. */
export function policyText(key: VerifierKey, witnesses: readonly string[], quorum: number): string {
  const lines = witnesses.map((vkey, at) => `witness w${at + 1} ${vkey}`);
  const names = witnesses.map((_, at) => `w${at + 1}`).join(' ');
  const rule = witnesses.length === 0 ? ['quorum none'] : [`group witnesses ${quorum} ${names}`, 'quorum witnesses'];
  return `${[`log ${formatVkey(key)}`, ...lines, ...rule].join('\n')}\n`;
}
