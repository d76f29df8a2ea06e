/** `add-checkpoint` of C2SP tlog-witness, step by step as the specification orders them. Cosigns only what continues all it cosigned before. */
import { type AddCheckpoint, parseAddCheckpoint } from '../audit/add-checkpoint.ts';
import { type LogCheckpoint, parseCheckpoint } from '../audit/checkpoint.ts';
import { cosign, type WitnessKey, withLines } from '../audit/cosignature.ts';
import { EMPTY_ROOT, verifyConsistency } from '../audit/merkle.ts';
import { openNote, parseNote, type SignText, type VerifierKey } from '../audit/note.ts';
import { equalBytes } from '../domain/bytes.ts';
import { codeOf } from '../domain/errors.ts';
import type { Heads } from './heads.ts';

export interface WitnessIdentity {
  readonly key: WitnessKey;
  readonly sign: SignText;
}

export interface AnswerOptions {
  readonly identity: WitnessIdentity;
  /** Keys of the logs that this witness watches; a key's name is the log's origin. */
  readonly logs: readonly VerifierKey[];
  readonly heads: Heads;
  readonly now: () => Date;
}

export interface Answer {
  readonly status: 200 | 400 | 403 | 404 | 409 | 422;
  /** text/plain unless said otherwise. */
  readonly type?: string;
  readonly body: string;
}

/** Answers one request. Rejects when the cosignature cannot be made or kept; then nothing was cosigned. */
export async function addCheckpoint(body: Uint8Array, options: AnswerOptions): Promise<Answer> {
  const asked = parsed(body);
  if (asked === undefined) return plain(400, 'not an add-checkpoint request');
  const { request, note, checkpoint } = asked;
  const { origin, size } = checkpoint;
  const keys = options.logs.filter(({ name }) => name === origin);
  if (keys.length === 0) return plain(404, 'this log is not watched here');
  if (!isSigned(request.checkpoint, keys)) return plain(403, 'no key of this log signed the checkpoint');
  if (request.oldSize > size) return plain(400, 'the old size is larger than the new one');
  const known = options.heads.head(origin);
  if (request.oldSize !== (known?.size ?? 0)) return conflict(known?.size ?? 0);
  const before = known && parseCheckpoint(parseNote(known.checkpoint).text);
  if (before?.size === size && !equalBytes(before.root, checkpoint.root)) return plain(409, 'another root of this size was cosigned');
  if (!continues(request, checkpoint, before)) return plain(422, 'the checkpoint does not continue the one cosigned before');

  const line = await cosign(note, options.identity.key, Math.floor(options.now().getTime() / 1000), options.identity.sign);
  // Kept before it is given: of two requests at once the slower one finds that the size has moved, and gets nothing.
  const kept = options.heads.replace(origin, request.oldSize, { size, checkpoint: withLines(ownLines(request.checkpoint, keys), [line]) });
  return kept ? { status: 200, body: line } : conflict(options.heads.head(origin)?.size ?? 0);
}

/** The newest checkpoint of the log whose origin has this SHA-256 (hex), as a monitor reads it. */
export function witnessedCheckpoint(
  originDigest: string,
  { logs, heads }: AnswerOptions,
  digest: (text: string) => string,
): Uint8Array | undefined {
  const origin = logs.find(({ name }) => digest(name) === originDigest)?.name;
  return origin === undefined ? undefined : heads.head(origin)?.checkpoint;
}

function parsed(body: Uint8Array) {
  try {
    const request = parseAddCheckpoint(body);
    const note = parseNote(request.checkpoint).text;
    return { request, note, checkpoint: parseCheckpoint(note) };
  } catch (error) {
    if (codeOf(error) !== 'note_malformed') throw error;
    return undefined;
  }
}

/** Signatures of unknown keys are ignored, and a bad one of a known key refuses the whole. */
function isSigned(checkpoint: Uint8Array, keys: readonly VerifierKey[]): boolean {
  try {
    return openNote(checkpoint, keys).signedBy.length > 0;
  } catch (error) {
    if (codeOf(error) !== 'note_signature_invalid') throw error;
    return false;
  }
}

function continues({ oldSize, proof }: AddCheckpoint, { size, root }: LogCheckpoint, known: LogCheckpoint | undefined): boolean {
  if (size === 0 && !equalBytes(root, EMPTY_ROOT)) return false;
  if (known === undefined || oldSize === 0) return proof.length === 0;
  return verifyConsistency(oldSize, size, known.root, root, proof);
}

/** The note with the lines of the log's own keys only: what others wrote under it was not verified here. */
function ownLines(checkpoint: Uint8Array, keys: readonly VerifierKey[]): Uint8Array {
  const text = new TextDecoder().decode(checkpoint);
  const split = text.lastIndexOf('\n\n') + 2;
  const own = text
    .slice(split, -1)
    .split('\n')
    .filter((line) => keys.some((key) => isLineOf(line, key)));
  return new TextEncoder().encode(`${text.slice(0, split)}${own.join('\n')}\n`);
}

function isLineOf(line: string, { name, keyId }: VerifierKey): boolean {
  const [, by, encoded = ''] = line.split(' ');
  return by === name && equalBytes(new Uint8Array(Buffer.from(encoded, 'base64').subarray(0, keyId.length)), keyId);
}

function conflict(size: number): Answer {
  return { status: 409, type: 'text/x.tlog.size', body: `${size}\n` };
}

function plain(status: Answer['status'], why: string): Answer {
  return { status, body: `${why}\n` };
}
