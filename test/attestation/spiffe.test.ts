/** SPIFFE: an X.509-SVID is the key of the connection, a JWT-SVID a bearer's; both are identity only, under the bundle of their trust domain. */
import 'reflect-metadata'; // @peculiar/x509 throws at import without it
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import * as x509 from '@peculiar/x509';
import { provedBy } from '../../src/attestation/kinds.ts';
import type { VerificationContext } from '../../src/attestation/port.ts';
import { createSpiffeAttester } from '../../src/attestation/spiffe/attester.ts';
import { parseSpiffeId } from '../../src/attestation/spiffe/spiffe-id.ts';
import { createSpiffeVerifier } from '../../src/attestation/spiffe/verifier.ts';
import { toBase64 } from '../../src/domain/bytes.ts';
import { attesterKeyOf, type EnrolledWorkload, isRefusal, type SpiffeAnchor } from '../../src/domain/evidence.ts';
import { problemsOfFacts } from '../../src/domain/facts.ts';
import type { Namespace, SubjectId } from '../../src/domain/ids.ts';
import { evidenceVerifierContract } from '../contract/evidence-verifier.ts';
import { ca, certSign, digitalSignature, type Issued, issue, notCa } from './test-ca.ts';
import { at, contextWith, KEY, makeKey, NOW, tokenOf } from './token-issuer.ts';

const ID = 'spiffe://prod.example/web';
const workload: EnrolledWorkload = {
  subjectId: '01a0b1c2-d3e4-7000-8000-000000000016' as SubjectId,
  namespace: 'prod' as Namespace,
  name: 'web',
  kind: 'spiffe',
  identity: { fact: 'spiffeId', value: ID },
  attributes: {},
};
const uris = (...names: string[]) => new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'url' as const, value })));
const svidFor = (issuer: Issued, over: Partial<Parameters<typeof issue>[0]> = {}) =>
  issue({ name: 'web', issuer, extensions: [notCa, digitalSignature, uris(ID)], ...over });

let root: Issued;
let authority: Issued;
let svid: Issued;
let spki: Uint8Array;
let anchor: SpiffeAnchor;
const spkiOf = async ({ keys }: Issued) => new Uint8Array(await crypto.subtle.exportKey('spki', keys.publicKey as never));
beforeAll(async () => {
  root = await issue({ name: 'root', extensions: [ca(), certSign] });
  authority = await issue({ name: 'authority', issuer: root, extensions: [ca(0), certSign] });
  svid = await svidFor(authority);
  spki = await spkiOf(svid);
  const jwtAuthorities = { keys: [KEY.jwk] };
  anchor = {
    kind: 'spiffe',
    name: 'prod',
    trustDomain: 'prod.example',
    x509Authorities: [toBase64(root.der)],
    jwtAuthorities,
    audience: 'vault',
  };
});

function context(over: Partial<VerificationContext> = {}): VerificationContext {
  const attester = async (key: string) => (key === attesterKeyOf(workload) ? workload : undefined);
  return { ...contextWith(), namespace: workload.namespace, anchors: [anchor], spki, attester, ...over };
}
const verifier = createSpiffeVerifier();
const verify = (body: object, over: Partial<VerificationContext> = {}) => verifier.verify({ ...body }, context(over));
async function codeOf(body: object, over: Partial<VerificationContext> = {}): Promise<string> {
  const answer = await verify(body, over);
  return isRefusal(answer) ? answer.code : 'verified';
}
const chain = (...certificates: Issued[]) => ({ certificates: certificates.map(({ der }) => toBase64(der)) });

evidenceVerifierContract('spiffe (X.509-SVID)', async () => ({
  verifier,
  body: chain(svid, authority),
  context: context(),
  elsewhere: [{ spki: new Uint8Array(91) }, { spki: new Uint8Array(0) }, { spki: spki.slice(0, -1) }],
}));
evidenceVerifierContract('spiffe (JWT-SVID)', async () => ({
  verifier,
  body: { token: await tokenOf({ sub: ID, aud: 'vault', exp: at(300) }) },
  context: context(),
  elsewhere: [],
}));

describe('an X.509-SVID', () => {
  test('says who holds the key of this connection, and nothing of freshness or hardware', async () => {
    const answer = await verify(chain(svid, authority));
    if (isRefusal(answer)) throw new Error(`${answer.code}: ${answer.detail}`);
    expect(answer.facts).toEqual({ spiffeId: ID, trustDomain: 'prod.example', document: 'X.509-SVID' });
    expect(problemsOfFacts('spiffe', answer.facts)).toEqual([]);
    expect(answer.attester.name).toBe('web');
    expect(provedBy(answer)).toEqual({ fresh: false, keyBound: true, hardware: false, tee: false });
    expect(answer.endorsements).toHaveLength(3);
  });

  test('of another key than the connection is refused: whoever copied the certificate has not got its key', async () => {
    const other = await spkiOf(await svidFor(authority));
    expect(await codeOf(chain(svid, authority), { spki: other })).toBe('evidence_binding_mismatch');
    expect(await codeOf(chain(svid, authority), { spki: new Uint8Array(0) })).toBe('evidence_binding_mismatch');
  });

  test('leads to an authority of its own trust domain, and no other', async () => {
    expect(await codeOf(chain(svid))).toBe('endorsement_untrusted');
    expect(await codeOf(chain(svid, authority), { anchors: [] })).toBe('endorsement_untrusted');
    const stranger = await issue({ name: 'root', extensions: [ca(), certSign] });
    const theirs = await svidFor(stranger);
    expect(await codeOf(chain(theirs, stranger), { spki: await spkiOf(theirs) })).toBe('endorsement_untrusted');
    const elsewhere = { ...anchor, name: 'other', trustDomain: 'other.example', x509Authorities: [toBase64(stranger.der)] };
    expect(await codeOf(chain(theirs, stranger), { spki: await spkiOf(theirs), anchors: [anchor, elsewhere] })).toBe(
      'endorsement_untrusted',
    );
  });

  test('counts while it and its issuers are valid', async () => {
    expect(await codeOf(chain(svid, authority), { now: new Date('2041-01-01T00:00:00Z') })).toBe('evidence_expired');
    expect(await codeOf(chain(svid, authority), { now: new Date('2019-01-01T00:00:00Z') })).toBe('evidence_expired');
    const short = await issue({ name: 'short', issuer: root, notAfter: new Date('2021-01-01T00:00:00Z'), extensions: [ca(0), certSign] });
    const below = await svidFor(short);
    expect(await codeOf(chain(below, short), { spki: await spkiOf(below) })).toBe('evidence_expired');
  });

  test.each<[string, x509.Extension[]]>([
    ['no URI', [notCa, digitalSignature]],
    ['two URIs', [notCa, digitalSignature, uris(ID, 'spiffe://prod.example/db')]],
    ['a trust domain instead of a workload', [notCa, digitalSignature, uris('spiffe://prod.example')]],
    ['another scheme', [notCa, digitalSignature, uris('https://prod.example/web')]],
    ['the rights of an authority', [ca(), certSign, uris(ID)]],
  ])('with %s is none', async (_what, extensions) => {
    const wrong = await issue({ name: 'web', issuer: root, extensions });
    expect(await codeOf(chain(wrong), { spki: await spkiOf(wrong) })).toBe('evidence_malformed');
  });

  test('of a workload that is not enrolled here is refused', async () => {
    expect(await codeOf(chain(svid, authority), { attester: async () => undefined })).toBe('attester_key_unknown');
    expect(await codeOf(chain(svid, authority), { namespace: 'other' as Namespace })).toBe('attester_key_unknown');
  });
});

describe('a JWT-SVID', () => {
  const claims = (over: object = {}) => ({ sub: ID, aud: ['vault'], exp: at(300), ...over });
  const token = async (over: object = {}, key = KEY, header: object = {}) => ({ token: await tokenOf(claims(over), { ...header }, key) });

  test('is identity only, for this audience, once', async () => {
    const answer = await verify(await token());
    if (isRefusal(answer)) throw new Error(`${answer.code}: ${answer.detail}`);
    expect(answer.facts['document']).toBe('JWT-SVID');
    expect(provedBy(answer)).toEqual({ fresh: false, keyBound: false, hardware: false, tee: false });
    const [again, shared] = [await token(), context()];
    expect(isRefusal(await verifier.verify(again, shared))).toBe(false);
    expect(await verifier.verify(again, shared)).toMatchObject({ code: 'token_spent' });
  });

  test('is the same one under the other signature that everybody can make of an ECDSA signature', async () => {
    const key = makeKey('key-es', 'ES256');
    const anchors = [{ ...anchor, jwtAuthorities: { keys: [key.jwk] } }];
    const { token: first } = await token({}, key);
    const at = first.lastIndexOf('.') + 1;
    const [r, s] = [Buffer.from(first.slice(at), 'base64url').subarray(0, 32), Buffer.from(first.slice(at), 'base64url').subarray(32)];
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n; // of P-256
    const other = (order - BigInt(`0x${s.toString('hex')}`)).toString(16).padStart(64, '0');
    const twin = first.slice(0, at) + Buffer.concat([r, Buffer.from(other, 'hex')]).toString('base64url');
    expect(isRefusal(await verifier.verify({ token: twin }, context({ anchors })))).toBe(false); // as good as the first one, which is why:
    const shared = context({ anchors });
    expect(isRefusal(await verifier.verify({ token: first }, shared))).toBe(false);
    expect(await verifier.verify({ token: twin }, shared)).toMatchObject({ code: 'token_spent' });
  });

  test.each<[string, object, string]>([
    ['for another audience', { aud: ['other'] }, 'evidence_binding_mismatch'],
    ['without an audience', { aud: undefined }, 'evidence_binding_mismatch'],
    ['that has expired', { exp: at(-3600) }, 'evidence_expired'],
    ['without an end', { exp: undefined }, 'evidence_malformed'],
    ['of another trust domain', { sub: 'spiffe://other.example/web' }, 'endorsement_untrusted'],
    ['about nobody', { sub: undefined }, 'evidence_malformed'],
    ['about another workload', { sub: 'spiffe://prod.example/db' }, 'attester_key_unknown'],
  ])('%s is refused', async (_what, over, code) => expect(await codeOf(await token(over))).toBe(code));

  test('by another key, or one it brings along, is refused', async () => {
    expect(await codeOf(await token({}, makeKey('key-1')))).toBe('evidence_signature_invalid');
    expect(await codeOf(await token({}, makeKey('key-2')))).toBe('endorsement_untrusted');
    expect(await codeOf(await token({}, KEY, { jku: 'https://prod.example/keys' }))).toBe('evidence_malformed');
  });

  test('needs keys in the anchor: an anchor for certificates is none for tokens', async () => {
    const { jwtAuthorities: _1, audience: _2, ...certificatesOnly } = anchor;
    expect(await codeOf(await token(), { anchors: [certificatesOnly] })).toBe('endorsement_untrusted');
  });
});

test.each<[string, object]>([
  ['nothing', {}],
  ['both', { certificates: ['AAAA'], token: 'a.b.c' }],
  ['no certificates', { certificates: [] }],
  ['five certificates', { certificates: Array(5).fill('AAAA') }],
  ['text that is no base64', { certificates: ['AA=A'] }],
  ['bytes that are no certificate', { certificates: ['AAAA'] }],
  ['a megabyte', { token: 'a'.repeat(1 << 20) }],
  ['another member', { token: 'a.b.c', more: 1 }],
])('a body of %s is malformed', async (_what, body) => expect(await codeOf(body)).toBe('evidence_malformed'));

test.each([
  ['spiffe://prod.example/web', true],
  ['spiffe://prod.example/a/b-c_d.e', true],
  ['spiffe://prod.example', false],
  ['spiffe://prod.example/', false],
  ['spiffe://prod.example/a//b', false],
  ['spiffe://prod.example/../a', false],
  ['spiffe://Prod.example/a', false],
  ['SPIFFE://prod.example/a', false],
  ['spiffe://prod.example:8080/a', false],
  ['spiffe://user@prod.example/a', false],
  ['spiffe://prod.example/a?b', false],
  ['spiffe://prod.example/a%2fb', false],
  [`spiffe://prod.example/${'a'.repeat(2048)}`, false],
])('%s is an id of a workload: %s', (text, is) => expect(parseSpiffeId(text) !== undefined).toBe(is));

describe('the attester', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'wv-spiffe-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = (name: string, content: string) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const pem = ({ der }: Issued) => `-----BEGIN CERTIFICATE-----\n${toBase64(der)}\n-----END CERTIFICATE-----\n`;
  const attest = (source: Parameters<typeof createSpiffeAttester>[0]) =>
    createSpiffeAttester(source).attest(new Uint8Array(0), { challengeNonce: new Uint8Array(32), spki });

  test('shows what spiffe-helper wrote, and the vault takes it', async () => {
    expect(await codeOf(await attest({ certificates: file('svid.pem', pem(svid) + pem(authority)) }))).toBe('verified');
    expect(await attest({ tokenFile: file('token', 'aa.bb.cc\n') })).toEqual({ token: 'aa.bb.cc' });
  });

  test.each(['', 'no certificate', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'])(
    'says so when the file holds "%s"',
    async (content) => {
      await expect(attest({ certificates: file('wrong.pem', content) })).rejects.toMatchObject({ code: 'usage' });
    },
  );

  test('says so when there is no file, or one that is too large', async () => {
    await expect(attest({ tokenFile: join(folder, 'absent') })).rejects.toMatchObject({ code: 'usage' });
    await expect(attest({ tokenFile: file('large', 'x'.repeat(70_000)) })).rejects.toMatchObject({ code: 'usage' });
  });
});

test('the time of these tests is inside the lives of their certificates', () => expect(NOW < new Date('2040-01-01')).toBe(true));
