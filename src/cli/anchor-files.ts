/** Trust anchors as files: a root certificate in PEM, or an issuer of tokens in JSON, with its keys and authority in files beside it. */
import { X509Certificate } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { trustAnchor } from '../documents/anchors.ts';
import { toBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import type { TrustAnchor } from '../domain/evidence.ts';
import { readJwk } from '../domain/jwk.ts';
import { readUserFile, readUserJson } from './files.ts';
import { note } from './output.ts';

export async function readAnchors(files: readonly string[]): Promise<TrustAnchor[]> {
  const anchors: TrustAnchor[] = [];
  for (const file of files) anchors.push(await readAnchor(file));
  return anchors;
}

async function readAnchor(file: string): Promise<TrustAnchor> {
  const bytes = await readUserFile(file);
  return /^\s*\{/.test(bytes.toString('utf8')) ? readIssuer(file) : readRoot(file, bytes);
}

function readRoot(file: string, bytes: Buffer): TrustAnchor {
  try {
    const certificate = new X509Certificate(bytes);
    return { kind: 'tpm2', name: certificate.subject.replaceAll('\n', ', ').slice(0, 128), certificate: toBase64(certificate.raw) };
  } catch (cause) {
    throw new VaultError('usage', `${file} is neither a certificate nor JSON`, { cause });
  }
}

const issuerFile = z.looseObject({ jwksFile: z.string().optional(), jwksCaFile: z.string().optional(), jwks: z.unknown().optional() });

/** `jwksFile` and `jwksCaFile`, relative to the file, are put inside: what two people sign is whole. */
async function readIssuer(file: string): Promise<TrustAnchor> {
  const { jwksFile, jwksCaFile, jwks, ...rest } = await readUserJson(file, issuerFile);
  const beside = (name: string) => resolve(dirname(file), name);
  const set = jwksFile === undefined ? jwks : await readUserJson(beside(jwksFile), z.unknown());
  const whole = {
    ...rest,
    ...(set !== undefined && { jwks: publicKeys(set, jwksFile ?? file) }),
    ...(jwksCaFile !== undefined && { jwksCa: (await readUserFile(beside(jwksCaFile))).toString('utf8') }),
  };
  const parsed = trustAnchor.safeParse(whole);
  if (!parsed.success) throw new VaultError('usage', `${file}: ${z.prettifyError(parsed.error).replaceAll('\n', ' ')}`);
  return parsed.data as TrustAnchor; // the schema's form is the domain's, except that absent members may be undefined
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
