/** Names of things. Ids are UUIDv7 text, lower case (RFC 9562 section 5.7); a brand keeps one kind from standing for another. */
import { randomUUID } from 'node:crypto';
import { VaultError } from './errors.ts';

declare const brand: unique symbol;
type Branded<T, B extends string> = T & { readonly [brand]: B };

export type VaultId = Branded<string, 'VaultId'>;
export type Namespace = Branded<string, 'Namespace'>;
export type ModelId = Branded<string, 'ModelId'>;
export type VersionId = Branded<string, 'VersionId'>;
export type ReleaseId = Branded<string, 'ReleaseId'>;
export type ChallengeId = Branded<string, 'ChallengeId'>;
export type RecordId = Branded<string, 'RecordId'>;
export type SubjectId = Branded<string, 'SubjectId'>;
export type AdministratorId = Branded<string, 'AdministratorId'>;
export type RequestId = Branded<string, 'RequestId'>;
export type StopId = Branded<string, 'StopId'>;
/** One start of one process; two starts never share it. */
export type Incarnation = Branded<string, 'Incarnation'>;
/** SHA-256 as 64 lower-case hex digits. */
export type Digest = Branded<string, 'Digest'>;
/** A blob's name is the SHA-256 of its bytes. */
export type BlobName = Branded<string, 'BlobName'>;
/** `/`-separated path of one object in a version. */
export type ObjectPath = Branded<string, 'ObjectPath'>;
export type KeyId = Branded<string, 'KeyId'>;
/** One version of a key, `id/version`. */
export type KeyName = Branded<string, 'KeyName'>;
export type LeafIndex = Branded<number, 'LeafIndex'>;
export type TreeSize = Branded<number, 'TreeSize'>;

/** The namespace of what concerns the vault as a whole: its administrators' policy set, the access log. */
export const SYSTEM = 'system' as Namespace; // a valid name, reserved here

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;
const HEX_256 = /^[0-9a-f]{64}$/;

/** A new UUIDv7: 48 bits of `now` in milliseconds, then 74 random bits. */
export function newId<T extends string>(now: Date): T {
  const ms = now.getTime();
  if (!(ms >= 0 && ms < 2 ** 48)) throw new RangeError('an id has no room for this time');
  const time = ms.toString(16).padStart(12, '0');
  const random = randomUUID(); // version 4, whose variant and 74 of whose random bits stay; Node draws them for many at once
  const text = `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(15)}`;
  return text as T; // the only place an id is made
}

/** Any of the UUIDv7 ids above, parsed from outside text. */
export function parseId<T extends string>(text: string, what: string): T {
  if (!UUID_V7.test(text)) throw new VaultError('request_invalid', `${what} is not a lower-case UUIDv7`);
  return text as T; // just checked
}

export function isId(text: string): boolean {
  return UUID_V7.test(text);
}

/** Names of namespaces, models, subjects, administrators and keys: 1 to 64 of a-z 0-9 . _ -, starting and ending with a letter or digit. */
export function parseName<T extends string = string>(text: string, what: string): T {
  if (!NAME.test(text)) throw new VaultError('request_invalid', `${what} must be 1 to 64 characters of a-z 0-9 . _ -`);
  return text as T; // just checked
}

export function parseDigest<T extends string = Digest>(text: string, what = 'digest'): T {
  if (!HEX_256.test(text)) throw new VaultError('request_invalid', `${what} is not 64 lower-case hexadecimal digits`);
  return text as T; // just checked
}

/** docs/formats/encodings.md: no empty, `.` or `..` part, no control character or backslash, NFC, at most 1024 bytes. */
export function parseObjectPath(text: string): ObjectPath {
  const bad = (why: string) => new VaultError('path_invalid', why);
  if (text !== text.normalize('NFC')) throw bad('the path is not NFC');
  if (!text.isWellFormed()) throw bad('the path is not well-formed Unicode');
  if (Buffer.byteLength(text) > 1024) throw bad('the path is longer than 1024 bytes');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
  if (/[\u0000-\u001f\u007f-\u009f\\]/.test(text)) throw bad('the path has a control character or a backslash');
  for (const part of text.split('/')) {
    if (part === '' || part === '.' || part === '..') throw bad('the path has an empty, "." or ".." part');
  }
  return text as ObjectPath; // just checked
}

/** Two paths with the same folded form cannot stand in one version: they would be one file on some machines. */
export function foldPath(path: ObjectPath): string {
  return path.normalize('NFKC').toLowerCase().toUpperCase().toLowerCase().normalize('NFKC');
}
