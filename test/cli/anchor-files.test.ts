/** Trust anchors as people have them: certificates, issuers with their key sets in files, and the files they pick by mistake. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readAnchors } from '../../src/cli/anchor-files.ts';
import { trustAnchorList } from '../../src/documents/anchors.ts';
import { issueSelfSigned } from '../../src/identity/certificates.ts';
import { KEY, makeKey, NONCE_ANCHOR } from '../attestation/token-issuer.ts';

let folder: string;
let pem: string;
const { jwks: _jwks, ...issuer } = NONCE_ANCHOR;
const write = (name: string, content: object | string) => {
  writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  return join(folder, name);
};
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'wv-anchors-'));
  mkdirSync(join(folder, 'keys'));
  pem = (await issueSelfSigned({ commonName: 'root', days: 1, now: new Date() })).certificatePem;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const usage = (detail: string) => expect.objectContaining({ code: 'usage', detail: expect.stringContaining(detail) });

describe('wv anchors set', () => {
  test('knows the shipped roots of makers by their bytes, and takes any other certificate for a root of TPMs', async () => {
    const shipped = (name: string) => new URL(`../../policies/anchors/vendor-roots/${name}.pem`, import.meta.url).pathname;
    const names = ['amd-ark-milan', 'intel-sgx-root-ca', 'aws-nitro-enclaves-root-g1', 'google-ek-ak-ca-root'];
    const anchors = await readAnchors([...names, 'nvidia-device-identity-ca', 'nvidia-corim-signing-root-ca'].map(shipped));
    expect(anchors.map(({ kind }) => kind)).toEqual(['sev-snp', 'tdx', 'nitro', 'tpm2', 'tpm2', 'nvidia-gpu', 'nvidia-gpu']);
    expect(anchors.map((anchor) => 'use' in anchor && anchor.use)).toEqual([
      ...[false, false, false, false],
      ...['attestation-keys', false, 'reference-values'],
    ]);
    expect(trustAnchorList.safeParse(anchors).success).toBe(true);
    expect(await readAnchors([write('own.pem', pem)])).toMatchObject([{ kind: 'tpm2', name: 'CN=root' }]);
    await expect(readAnchors([shipped('gcp-confidential-space-root-ca')])).rejects.toEqual(usage('describe the issuer'));
  });

  test('takes roots and issuers together, and what it sends is what the vault accepts', async () => {
    write('keys/set.json', {
      keys: [
        { ...KEY.jwk, x5c: ['AAAA'], key_ops: ['verify'] },
        { ...makeKey('enc').jwk, use: 'enc' },
      ],
    });
    write('ca.pem', pem);
    const inFile = write('issuer.json', { ...issuer, jwksFile: 'keys/set.json' });
    const atAddress = write('other.json', { ...issuer, issuer: 'https://b.test', jwksUrl: 'https://b.test/keys', jwksCaFile: 'ca.pem' });
    const anchors = await readAnchors([write('root.pem', pem), inFile, atAddress]);
    expect(anchors.map(({ kind }) => kind)).toEqual(['tpm2', 'jwt', 'jwt']);
    expect(anchors[1]).toEqual({ ...issuer, jwks: { keys: [KEY.jwk] } });
    expect(anchors[2]).toMatchObject({ jwksUrl: 'https://b.test/keys', jwksCa: pem });
    expect(trustAnchorList.safeParse(anchors).success).toBe(true);
  });

  test('puts the roots of an issuer that is known by its certificates inside', async () => {
    write('roots.pem', pem);
    const [anchor] = await readAnchors([write('x5c.json', { ...issuer, x5cRootsFile: 'roots.pem' })]);
    expect(anchor).toMatchObject({ kind: 'jwt', x5cRoots: [pem.replaceAll(/-----[^-]+-----|\s/g, '')] });
    await expect(readAnchors([write('bad.json', { ...issuer, x5cRootsFile: 'bad.json' })])).rejects.toEqual(usage('is not PEM'));
  });

  test('takes a key set that stands in the file itself', async () => {
    expect(await readAnchors([write('whole.json', NONCE_ANCHOR)])).toEqual([NONCE_ANCHOR]);
  });

  test('refuses a private or secret key by name, and sends nothing', async () => {
    const privateJwk = { ...KEY.privateKey.export({ format: 'jwk' }), kid: 'key-1' };
    for (const key of [privateJwk, { kty: 'oct', k: 'AAAA' }]) {
      write('leaked.json', { keys: [key] });
      const file = write('leaking.json', { ...issuer, jwksFile: 'leaked.json' });
      const failed = readAnchors([file]);
      await expect(failed).rejects.toEqual(usage('private or secret key'));
      await expect(failed).rejects.not.toThrow(String('d' in key ? key.d : key.k));
    }
  });

  test.each<[string, object | string, string]>([
    ['a file that is neither', 'hello', 'neither a certificate nor JSON'],
    ['an issuer without keys', issuer, 'jwks'],
    ['keys that are no set', { ...issuer, jwks: [KEY.jwk] }, 'no key set'],
    ['a set without a usable key', { ...issuer, jwks: { keys: [{ ...KEY.jwk, use: 'enc' }] } }, 'keys'],
    ['a key file that is not there', { ...issuer, jwksFile: 'nowhere.json' }, 'cannot be read'],
    ['plain http', { ...issuer, jwksUrl: 'http://issuer.test/keys' }, 'https'],
    ['an HMAC', { ...NONCE_ANCHOR, algorithms: ['HS256'] }, 'algorithms'],
    ['an unknown member', { ...NONCE_ANCHOR, audiance: 'x' }, 'audiance'],
    ['JSON that breaks off', '{"kind":"jwt"', 'not JSON'],
  ])('says what is wrong with %s', async (_what, content, detail) => {
    await expect(readAnchors([write('wrong.json', content)])).rejects.toEqual(usage(detail));
  });
});
