/** Trust anchors as files: a root certificate in PEM, or an issuer of tokens in JSON, with its keys and authority in files beside it. */
import { X509Certificate } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { ekRoots, pinnedRoots } from '../attestation/pinned-roots.ts';
import { derOrPem } from '../attestation/x509/pem.ts';
import { trustAnchor } from '../documents/anchors.ts';
import { equalBytes, toBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import type { TrustAnchor } from '../domain/evidence.ts';
import { readJwk } from '../domain/jwk.ts';
import { readUserFile, readUserJson } from './files.ts';
import { note } from './output.ts';

export async function readAnchors(files: readonly string[]): Promise<TrustAnchor[]> {
  const anchors: TrustAnchor[] = [];
  for (const file of files) anchors.push(...(await readAnchor(file)));
  return anchors;
}

async function readAnchor(file: string): Promise<readonly TrustAnchor[]> {
  const bytes = await readUserFile(file);
  return /^\s*\{/.test(bytes.toString('utf8')) ? [await readIssuer(file)] : readRoot(file, bytes);
}

/**
 * A root of a maker that is shipped with the product is of that maker's kind; any other certificate is taken for the root of TPMs. One that
 * certifies attestation keys and endorsement keys is two anchors, because no anchor is for both.
 */
function readRoot(file: string, bytes: Buffer): readonly TrustAnchor[] {
  try {
    const { raw, subject } = new X509Certificate(bytes);
    const certificate = toBase64(raw);
    const shipped = [...pinnedRoots(), ...ekRoots()].find((root) => equalBytes(root.certificate, raw));
    const name = (shipped?.title ?? subject.replaceAll('\n', ', ')).slice(0, 128);
    const kind = shipped?.kind ?? 'tpm2';
    if (kind === 'jwt' || kind === 'spiffe')
      throw new VaultError('usage', `${file} stands behind an issuer of tokens: describe the issuer in JSON`);
    if (kind !== 'tpm2') return [{ kind, name, certificate, ...(shipped?.use === 'reference-values' && { use: shipped.use }) }];
    const ofEndorsementKeys = { kind, name, certificate };
    if (shipped?.use !== 'attestation-keys') return [ofEndorsementKeys];
    return [...(shipped.endorsementKeys ? [ofEndorsementKeys] : []), { ...ofEndorsementKeys, use: shipped.use }];
  } catch (cause) {
    if (cause instanceof VaultError) throw cause;
    throw new VaultError('usage', `${file} is neither a certificate nor JSON`, { cause });
  }
}

const issuerFile = z.looseObject({
  jwksFile: z.string().optional(),
  jwksCaFile: z.string().optional(),
  x5cRootsFile: z.string().optional(),
  jwks: z.unknown().optional(),
});

/** `jwksFile`, `jwksCaFile` and `x5cRootsFile`, relative to the file, are put inside: what two people sign is whole. */
async function readIssuer(file: string): Promise<TrustAnchor> {
  const { jwksFile, jwksCaFile, x5cRootsFile, jwks, ...rest } = await readUserJson(file, issuerFile);
  const beside = (name: string) => resolve(dirname(file), name);
  const set = jwksFile === undefined ? jwks : await readUserJson(beside(jwksFile), z.unknown());
  const whole = {
    ...rest,
    ...(set !== undefined && { jwks: publicKeys(set, jwksFile ?? file) }),
    ...(x5cRootsFile !== undefined && { x5cRoots: certificatesIn(await readUserFile(beside(x5cRootsFile)), x5cRootsFile) }),
    ...(jwksCaFile !== undefined && { jwksCa: (await readUserFile(beside(jwksCaFile))).toString('utf8') }),
  };
  const parsed = trustAnchor.safeParse(whole);
  if (!parsed.success) throw new VaultError('usage', `${file}: ${z.prettifyError(parsed.error).replaceAll('\n', ' ')}`);
  return parsed.data as TrustAnchor; // the schema's form is the domain's, except that absent members may be undefined
}

/** base64 DER of each. */
function certificatesIn(bytes: Uint8Array, file: string): string[] {
  try {
    return derOrPem(bytes, 'CERTIFICATE', 8).map(toBase64);
  } catch (cause) {
    throw new VaultError('usage', `${file} is not PEM of at most eight certificates`, { cause });
  }
}

const keySet = z.looseObject({ keys: z.array(z.looseObject({})) });
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'k'];

/** The keys that tokens can be verified with. A private key has come too far already: it is named, and nothing is sent. */
function publicKeys(set: unknown, file: string): { readonly keys: readonly object[] } {
  const parsed = keySet.safeParse(set);
  if (!parsed.success) throw new VaultError('usage', `${file} is no key set: {"keys": [...]}`);
  const listed = parsed.data.keys;
  if (listed.some((key) => PRIVATE_MEMBERS.some((member) => member in key))) {
    throw new VaultError('usage', `${file} holds a private or secret key: publish the public ones only, and replace that one`);
  }
  const keys = listed.flatMap((key) => readJwk(key) ?? []);
  if (keys.length < listed.length)
    note(`${file}: ${listed.length - keys.length} of ${listed.length} keys cannot verify tokens and are left out`);
  return { keys };
}
