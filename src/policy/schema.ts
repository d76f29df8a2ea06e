/** The Cedar schema every policy is checked against, and every request. Read once, from the policies folder beside `src`. */
import { readFileSync } from 'node:fs';
import { checkParseSchema } from '@cedar-policy/cedar-wasm/nodejs';
import { sha256Hex } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { type Digest, parseDigest } from '../domain/ids.ts';

export const SCHEMA_TEXT = readSchema();

/** SHA-256 of the schema file. A policy set carries the digest of the schema its author saw. */
export const SCHEMA_DIGEST: Digest = parseDigest(sha256Hex(Buffer.from(SCHEMA_TEXT)));

function readSchema(): string {
  const text = readFileSync(new URL('../../policies/weight-vault.cedarschema', import.meta.url), 'utf8');
  const parsed = checkParseSchema(text);
  if (parsed.type === 'success') return text;
  throw new VaultError('configuration_invalid', `weight-vault.cedarschema: ${parsed.errors.map((error) => error.message).join('; ')}`);
}
