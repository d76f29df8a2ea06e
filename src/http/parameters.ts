/** The parameters that paths may have. A new one is a line in PARAMETERS; a route's `params` get their types from its path. */
import type { Request } from 'express';
import { VaultError } from '../domain/errors.ts';
import {
  type Namespace,
  parseId,
  parseName,
  parseObjectPath,
  type RecordId,
  type ReleaseId,
  type RequestId,
  type StopId,
  type VersionId,
} from '../domain/ids.ts';

interface Parameter<T extends string> {
  /** Express has decoded the text. Throws what the caller is answered. */
  readonly parse: (text: string) => T;
  /** For the OpenAPI document. */
  readonly description: string;
}

/** What administrators put in force in a namespace and can read back. */
export const READABLE_SLOTS = ['policy-set', 'reference-values', 'trust-anchors', 'alert-rules', 'alert-delivery', 'log-sinks'] as const;
export type ReadableSlot = (typeof READABLE_SLOTS)[number];

const id = <T extends string>(what: string): Parameter<T> => ({
  parse: (text) => parseId<T>(text, what),
  description: 'UUIDv7, lower case',
});
const name = <T extends string = string>(what: string): Parameter<T> => ({
  parse: (text) => parseName<T>(text, what),
  description: '1 to 64 of a-z 0-9 . _ -',
});

/** Those of a `*wildcard` hold slashes. */
export const PARAMETERS = {
  namespace: name<Namespace>('namespace'),
  model: name('model'),
  name: name('name'),
  version: id<VersionId>('version'),
  release: id<ReleaseId>('release'),
  record: id<RecordId>('record'),
  request: id<RequestId>('request'),
  stop: id<StopId>('stop'),
  alias: name('alias'),
  keyVersion: { parse: keyVersion, description: 'version of a key, counted from 1' },
  slot: { parse: readableSlot, description: READABLE_SLOTS.join(', ') },
  path: { parse: parseObjectPath, description: 'path of an object that is to be; slashes separate its parts' },
  object: { parse: askedPath, description: 'path of an object as the manifest writes it; slashes separate its parts' },
  tile: { parse: (text: string) => text, description: 'path of a tile below `tile/` (c2sp.org/tlog-tiles)' },
} as const satisfies Record<string, Parameter<string>>;

type Names<P extends string> = P extends `${string}/:${infer Rest}`
  ? Rest extends `${infer Name}/${infer More}`
    ? Name | Names<`/${More}`>
    : Rest
  : P extends `${string}/*${infer Name}`
    ? Name
    : never;

/** The parsed parameters of a path: `{ namespace: Namespace, model: string }` for `/v1/namespaces/:namespace/models/:model`. */
export type Params<P extends string> = {
  readonly [N in Names<P>]: N extends keyof typeof PARAMETERS ? ReturnType<(typeof PARAMETERS)[N]['parse']> : never;
};

/** Names of the parameters of a path, in order. Throws for one that PARAMETERS does not have. */
export function parameterNames(path: string): ReadonlyArray<keyof typeof PARAMETERS> {
  return [...path.matchAll(/\/[:*](\w+)/g)].map(([, name = '']) => {
    if (!Object.hasOwn(PARAMETERS, name)) throw new VaultError('internal', `no parameter ${name} in http/parameters.ts`);
    return name as keyof typeof PARAMETERS; // just looked up
  });
}

export function parseParams<P extends string>(path: P, request: Request): Params<P> {
  const parsed = parameterNames(path).map((name) => {
    const value = request.params[name];
    return [name, PARAMETERS[name].parse(Array.isArray(value) ? value.join('/') : (value ?? ''))];
  });
  return Object.fromEntries(parsed) as Params<P>; // each by its own parser
}

function keyVersion(text: string): string {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new VaultError('request_invalid', 'a key version counts from 1');
  return text;
}

function readableSlot(text: string): ReadableSlot {
  const slot = READABLE_SLOTS.find((one) => one === text);
  if (slot === undefined) throw new VaultError('document_unknown', `${READABLE_SLOTS.join(', ')} can be in force`);
  return slot;
}

/** Compared with the manifest's paths, and recorded when it is none of them: bounded, that is enough. */
function askedPath(text: string): string {
  if (text.length > 1024) throw new VaultError('path_invalid');
  return text;
}
