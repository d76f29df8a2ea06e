/** The settings of a PKCS#11 token in a keeper's configuration. */
import { isAbsolute } from 'node:path';
import { DEFAULTS } from '../../domain/classes.ts';
import { VaultError } from '../../domain/errors.ts';
import { WRAP_TIERS, type WrapTier } from '../../domain/kek-wrap.ts';
import { SIGNATURE_ALGORITHMS, type SignatureAlgorithm } from '../../domain/signature.ts';
import type { CallStyle } from './connection.ts';
import type { LinkConfig } from './link.ts';
import type { PinSource } from './pin-source.ts';
import { parseTokenUri, type TokenSelector } from './token-uri.ts';

/** As JSON has it. */
export interface Pkcs11Settings {
  /** The PKCS#11 library; all paths are absolute. */
  readonly module: string;
  /** Which token: label and serial, or a URI (RFC 7512). */
  readonly tokenLabel?: string | undefined;
  readonly tokenSerial?: string | undefined;
  readonly tokenUri?: string | undefined;
  /** Where the PIN is: one of the three, or `pin-source` of the URI; none for a token that wants no login. */
  readonly pinFile?: string | undefined;
  readonly pinDescriptor?: number | undefined;
  readonly pinVariable?: string | undefined;
  /** For modules that want parameters in C_Initialize (NSS). */
  readonly libraryParameters?: string | undefined;
  readonly sessions?: number | undefined;
  readonly calls?: CallStyle | undefined;
  readonly queue?: number | undefined;
  readonly deadlineMs?: number | undefined;
  readonly wrapTier?: WrapTier | undefined;
  readonly signature?: SignatureAlgorithm | undefined;
  readonly dangerouslyAllowExtractableKek?: boolean | undefined;
  /** Of the token that an earlier process of this keeper saw; the supervisor sets it. */
  readonly tokenIdentity?: string | undefined;
}

type Check = (value: unknown) => boolean;
const text =
  (most: number): Check =>
  (value) =>
    typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= most && !value.includes('\0');
const whole =
  (least: number, most: number): Check =>
  (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
const path: Check = (value) => typeof value === 'string' && isAbsolute(value) && !value.includes('\0');
const among =
  (known: readonly unknown[]): Check =>
  (value) =>
    known.includes(value);

const SETTINGS: Readonly<Record<keyof Pkcs11Settings, readonly [check: Check, whatItIs: string]>> = {
  module: [path, 'an absolute path'],
  tokenLabel: [text(32), 'text of at most 32 bytes'],
  tokenSerial: [text(16), 'text of at most 16 bytes'],
  tokenUri: [text(2048), 'a URI'],
  pinFile: [path, 'an absolute path'],
  pinDescriptor: [whole(3, 9), 'a descriptor from 3 to 9'],
  pinVariable: [(value) => typeof value === 'string' && /^[A-Z_][A-Z0-9_]{0,63}$/.test(value), 'the name of a variable'],
  libraryParameters: [text(1024), 'text of at most 1024 bytes'],
  sessions: [whole(1, 64), 'a number from 1 to 64'],
  calls: [among(['inline', 'threads']), 'inline or threads'],
  queue: [whole(1, 4096), 'a number from 1 to 4096'],
  deadlineMs: [whole(100, 60_000), 'milliseconds from 100 to 60000'],
  wrapTier: [among(WRAP_TIERS), '1, 2 or 3'],
  signature: [among(SIGNATURE_ALGORITHMS), SIGNATURE_ALGORITHMS.join(' or ')],
  dangerouslyAllowExtractableKek: [(value) => typeof value === 'boolean', 'true or false'],
  tokenIdentity: [text(256), 'text of at most 256 bytes'],
};

export const PKCS11_SETTINGS = Object.keys(SETTINGS);

/** Throws `configuration_invalid` and names the setting. Members of other providers are not looked at. */
export function parsePkcs11Settings(value: Readonly<Record<string, unknown>>): Pkcs11Settings {
  const read: Record<string, unknown> = {};
  for (const [name, [check, whatItIs]] of Object.entries(SETTINGS)) {
    if (value[name] === undefined) continue;
    if (!check(value[name])) throw invalid(`${name} is not ${whatItIs}`);
    read[name] = value[name];
  }
  if (read['module'] === undefined) throw invalid('module is missing');
  const settings = read as unknown as Pkcs11Settings; // every member was checked above
  selectorOf(settings);
  pinOf(settings);
  return settings;
}

/** Throws `configuration_invalid` as `parsePkcs11Settings` does. */
export function linkConfigOf(settings: Pkcs11Settings): LinkConfig {
  const { module, libraryParameters, tokenIdentity, wrapTier, signature } = settings;
  return {
    module,
    token: selectorOf(settings),
    pin: pinOf(settings),
    ...(libraryParameters !== undefined && { libraryParameters }),
    ...(tokenIdentity !== undefined && { identity: tokenIdentity }),
    sessions: settings.sessions ?? DEFAULTS.keeperSessions,
    calls: settings.calls ?? 'inline',
    limits: { queue: settings.queue ?? DEFAULTS.keeperQueue, deadlineMs: settings.deadlineMs ?? DEFAULTS.keeperDeadlineMs },
    prefer: { ...(wrapTier !== undefined && { wrapTier }), ...(signature !== undefined && { signature }) },
    allowExtractable: settings.dangerouslyAllowExtractableKek === true,
  };
}

function selectorOf({ tokenLabel, tokenSerial, tokenUri }: Pkcs11Settings): TokenSelector {
  if (tokenUri !== undefined) {
    if (tokenLabel !== undefined || tokenSerial !== undefined)
      throw invalid('tokenUri contradicts tokenLabel and tokenSerial: one of the two ways');
    return parseTokenUri(tokenUri).selector;
  }
  if (tokenLabel === undefined && tokenSerial === undefined)
    throw invalid('tokenLabel is missing: a token is named by label, serial or URI');
  return { ...(tokenLabel !== undefined && { label: tokenLabel }), ...(tokenSerial !== undefined && { serial: tokenSerial }) };
}

function pinOf({ pinFile, pinDescriptor, pinVariable, tokenUri }: Pkcs11Settings): PinSource {
  const fromUri = tokenUri === undefined ? undefined : parseTokenUri(tokenUri).pinFile;
  const sources: PinSource[] = [
    ...(pinFile === undefined ? [] : [{ file: pinFile }]),
    ...(fromUri === undefined ? [] : [{ file: fromUri }]),
    ...(pinDescriptor === undefined ? [] : [{ descriptor: pinDescriptor }]),
    ...(pinVariable === undefined ? [] : [{ variable: pinVariable }]),
  ];
  if (sources.length > 1) throw invalid('pinFile, pinDescriptor, pinVariable and the pin-source of a URI exclude each other');
  return sources[0] ?? 'none';
}

const invalid = (why: string) => new VaultError('configuration_invalid', `keeper setting ${why}`);
