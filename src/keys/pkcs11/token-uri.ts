/** Which token: a `pkcs11:` URI (RFC 7512), as far as it names a token. What we would not honour is refused, never passed over. */
import { isAbsolute } from 'node:path';
import { VaultError } from '../../domain/errors.ts';

/** All that are given must fit (CK_TOKEN_INFO); at least one is. */
export interface TokenSelector {
  readonly label?: string;
  readonly serial?: string;
  readonly manufacturer?: string;
  readonly model?: string;
}

export interface TokenUri {
  readonly selector: TokenSelector;
  /** Path of a PIN file, from `pin-source=file:/...`. */
  readonly pinFile?: string;
}

const URI_CHARS = 2048;
/** RFC 7512 section 2.3: attributes of CK_TOKEN_INFO, and how long each field is there. */
const TOKEN_ATTRIBUTES: Readonly<Record<string, readonly [member: keyof TokenSelector, bytes: number]>> = {
  token: ['label', 32],
  serial: ['serial', 16],
  manufacturer: ['manufacturer', 32],
  model: ['model', 16],
};
/** Everything RFC 7512 allows in a value without percent-encoding (pk11-pchar, pk11-qchar); a raw space or `"` is a mistake. */
const PATH_VALUE = /^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*$/;
const QUERY_VALUE = /^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=/?|]|%[0-9A-Fa-f]{2})*$/;

/** Throws `configuration_invalid`, naming the attribute and never a value of the query: that could be a PIN. */
export function parseTokenUri(uri: string): TokenUri {
  if (uri.length > URI_CHARS) throw invalid('is longer than 2048 characters');
  if (!uri.startsWith('pkcs11:')) throw invalid('does not begin with pkcs11:');
  const [path = '', query, ...more] = uri.slice('pkcs11:'.length).split('?');
  if (more.length > 0) throw invalid('has two question marks');
  const selector = selectorOf(attributes(path, ';', PATH_VALUE));
  const pinFile = query === undefined ? undefined : pinFileOf(attributes(query, '&', QUERY_VALUE));
  return { selector, ...(pinFile !== undefined && { pinFile }) };
}

function attributes(text: string, separator: string, shape: RegExp): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const part of text === '' ? [] : text.split(separator)) {
    const at = part.indexOf('=');
    const [name, value] = [part.slice(0, Math.max(at, 0)), part.slice(at + 1)];
    if (at < 1) throw invalid('has an attribute without a value');
    if (found.has(name)) throw invalid(`names ${shown(name)} twice`);
    if (!shape.test(value)) throw invalid(`has a character in ${shown(name)} that must be percent-encoded`);
    found.set(name, decoded(name, value));
  }
  return found;
}

function decoded(name: string, value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    throw invalid(`has a value of ${shown(name)} that is not UTF-8`);
  }
}

function selectorOf(given: ReadonlyMap<string, string>): TokenSelector {
  const selector: { -readonly [K in keyof TokenSelector]: TokenSelector[K] } = {};
  for (const [name, value] of given) {
    const known = Object.hasOwn(TOKEN_ATTRIBUTES, name) ? TOKEN_ATTRIBUTES[name] : undefined;
    if (known === undefined)
      throw invalid(`names ${shown(name)}: ${REASONS[name] ?? 'only token, serial, manufacturer and model name a token'}`);
    const [member, bytes] = known;
    if (value === '' || Buffer.byteLength(value) > bytes) throw invalid(`has a value of ${name} that no token has`);
    selector[member] = value;
  }
  if (given.size === 0) throw invalid('names no token');
  return selector;
}

const REASONS: Readonly<Record<string, string>> = {
  'slot-id': 'a slot number changes whenever a token is made or removed',
  object: 'it names a token here, not a key',
  id: 'it names a token here, not a key',
  type: 'it names a token here, not a key',
};

function pinFileOf(given: ReadonlyMap<string, string>): string | undefined {
  for (const name of given.keys()) {
    if (name === 'pin-value') throw invalid('holds a PIN: a PIN comes from a file, a descriptor or the environment');
    if (name === 'module-path' || name === 'module-name') throw invalid('names a module: that is the setting module');
    if (name !== 'pin-source') throw invalid(`names ${shown(name)} in its query`);
  }
  const source = given.get('pin-source');
  if (source === undefined) return undefined;
  const path = source.startsWith('file:') ? source.slice('file:'.length).replace(/^\/\/(?=\/)/, '') : source;
  if (source.startsWith('|') || !isAbsolute(path) || path.startsWith('//') || path.includes('\0'))
    throw invalid('has a pin-source that is not file: and an absolute path');
  return path;
}

/** Names are ours to print when they look like names; anything else may be a PIN in the wrong place. */
const shown = (name: string): string => (/^[a-z][a-z-]{0,31}$/.test(name) ? name : 'an attribute of no known name');

const invalid = (why: string) => new VaultError('configuration_invalid', `the token URI ${why}`);
