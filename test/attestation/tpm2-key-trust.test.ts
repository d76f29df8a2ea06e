/** A TPM that no administrator activated: its key counts by its cloud's certificate, or by the hardware report of its guest, and by nothing else. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import * as x509 from '@peculiar/x509';
import type { VerificationContext } from '../../src/attestation/port.ts';
import { matchReferenceValues } from '../../src/attestation/reference-values.ts';
import { parsePublicArea } from '../../src/attestation/tpm2/public-area.ts';
import { createTpm2Verifier } from '../../src/attestation/tpm2/verifier.ts';
import { anchorsVersion } from '../../src/documents/anchors.ts';
import { referenceValue } from '../../src/documents/reference-values.ts';
import { toBase64 } from '../../src/domain/bytes.ts';
import { type EnrolledTpm2, isRefusal, type TrustAnchor, tpm2AttesterKey, type VerifiedClaims } from '../../src/domain/evidence.ts';
import { problemsOfFacts } from '../../src/domain/facts.ts';
import type { Digest } from '../../src/domain/ids.ts';
import { GCE_INSTANCE, makeHcl, quoteOf } from './azure-maker.ts';
import { makeAk, publicArea } from './quote-maker.ts';
import { reportChecks } from './report-checks.ts';
import { makeSnpLine, NOW, type SnpLine } from './snp-maker.ts';
import { type CertificateWishes, ca, digitalSignature, type Issued, issue, notCa, unknownCritical, usage } from './test-ca.ts';
import { BINDING, enrolledBy, keeping, workloadContext } from './workload-context.ts';

const verifier = createTpm2Verifier(reportChecks());
const ak = makeAk();
const other = makeAk();
const akName = parsePublicArea(publicArea(ak)).name;
const AK_USAGE = '2.23.133.8.3';

let line: SnpLine;
let root: Issued;
let intermediate: Issued;
let lookalike: Issued;

beforeAll(async () => {
  line = await makeSnpLine('Genoa');
  root = await issue({ name: 'cloud root' });
  intermediate = await issue({ name: 'cloud tpm ca', issuer: root, extensions: [ca(0)] });
  lookalike = await issue({ name: 'cloud root' });
});

const anchorOf = (issued: Issued, keys: 'attestation-keys' | 'endorsement-keys' = 'attestation-keys'): TrustAnchor => ({
  kind: 'tpm2',
  name: issued.name,
  certificate: toBase64(issued.der),
  ...(keys === 'attestation-keys' && { use: keys }),
});
const amdAnchor = (): TrustAnchor => ({ kind: 'sev-snp', name: 'amd', certificate: toBase64(line.pinned.certificate) });

const context = (anchors: readonly TrustAnchor[], change: Partial<VerificationContext> = {}): VerificationContext => ({
  ...workloadContext({ kind: 'tpm2', identity: { fact: 'akName', value: akName }, anchors, collateral: keeping({}), now: NOW }),
  ...change,
});

async function certificateOf(key = ak, wishes: Partial<CertificateWishes> = {}): Promise<Issued> {
  const publicKey = await webcrypto.subtle.importKey('spki', key.spki, { name: 'ECDSA', namedCurve: 'P-256' }, true, ['verify']);
  return issue({ name: 'a vm', issuer: intermediate, publicKey, extensions: [notCa, digitalSignature, usage(AK_USAGE)], ...wishes });
}

const shown = (leaf: Issued, ...between: readonly Issued[]) => ({
  akCertificate: toBase64(leaf.der),
  ...(between.length > 0 && { akIntermediates: between.map(({ der }) => toBase64(der)) }),
});

async function answer(body: object, inContext: VerificationContext) {
  return verifier.verify({ ...quoteOf(ak, inContext.binding), ...body }, inContext);
}
async function codeOf(body: object, inContext: VerificationContext): Promise<string> {
  const claims = await answer(body, inContext);
  return isRefusal(claims) ? claims.code : 'verified';
}

describe('a key that its cloud certifies', () => {
  test('counts under an anchor for attestation keys, and says what the verdict stood on', async () => {
    const claims = await answer(shown(await certificateOf(), intermediate), context([anchorOf(root)]));
    if (isRefusal(claims)) throw new Error(`${claims.code}: ${claims.detail}`);
    expect(claims).toMatchObject({ attester: { name: 'guest-1' }, facts: { akName, akTrust: 'certificate' } });
    expect(claims.endorsements?.map(({ what }) => what)).toEqual(['AK certificate', 'AK issuer', 'AK root']);
    expect(claims).not.toHaveProperty('proved');
    expect(problemsOfFacts('tpm2', claims.facts)).toEqual([]);
  });

  test('is known by the instance that Google names in its certificate', async () => {
    const extensions = [notCa, digitalSignature, usage(AK_USAGE), new x509.Extension('1.3.6.1.4.1.11129.2.1.21', false, GCE_INSTANCE)];
    const claims = await answer(shown(await certificateOf(ak, { extensions }), intermediate), context([anchorOf(root)]));
    expect(claims).toMatchObject({
      facts: {
        gceZone: 'us-central1-a',
        gceProjectId: 'google.com:wuale-gcp-testing',
        gceInstanceId: '6797026933021542085',
        gceInstanceName: 'cos-test',
      },
    });
  });

  test.each([Buffer.from('30020c00', 'hex'), new Uint8Array(GCE_INSTANCE).fill(7, 6, 10), GCE_INSTANCE.slice(0, 40)])(
    'is not known by an instance that is written in another way',
    async (value) => {
      const extensions = [notCa, digitalSignature, usage(AK_USAGE), new x509.Extension('1.3.6.1.4.1.11129.2.1.21', false, value)];
      const claims = await answer(shown(await certificateOf(ak, { extensions }), intermediate), context([anchorOf(root)]));
      if (isRefusal(claims)) throw new Error(claims.detail);
      expect(Object.keys(claims.facts).filter((name) => name.startsWith('gce'))).toEqual([]);
    },
  );

  test.each<[string, () => TrustAnchor[]]>([
    ['no anchor at all', () => []],
    ['an anchor for endorsement keys: what certifies those says nothing of these', () => [anchorOf(root, 'endorsement-keys')]],
    ['a root of the same name', () => [anchorOf(lookalike)]],
    ['an anchor of another kind', () => [amdAnchor()]],
    ['the intermediate of another root', () => [anchorOf(lookalike, 'endorsement-keys'), anchorOf(lookalike)]],
  ])('refuses under %s', async (_name, anchors) => {
    expect(await codeOf(shown(await certificateOf(), intermediate), context(anchors()))).toBe('endorsement_untrusted');
  });

  test('refuses a root that came along with the evidence', async () => {
    const leaf = await certificateOf(ak, { issuer: lookalike });
    expect(await codeOf(shown(leaf, lookalike), context([anchorOf(root)]))).toBe('endorsement_untrusted');
  });

  test.each<[string, Partial<CertificateWishes>]>([
    ['an authority', { extensions: [ca(), usage(AK_USAGE)] }],
    ['of a server', { extensions: [notCa, digitalSignature, usage('1.3.6.1.5.5.7.3.1')] }],
    ['with a critical extension that nobody knows', { extensions: [notCa, usage(AK_USAGE), unknownCritical] }],
  ])('refuses a certificate that is %s', async (_name, wishes) => {
    expect(await codeOf(shown(await certificateOf(ak, wishes), intermediate), context([anchorOf(root)]))).toBe('endorsement_untrusted');
  });

  test('refuses a certificate of another key, though it is genuine', async () => {
    expect(await codeOf(shown(await certificateOf(other), intermediate), context([anchorOf(root)]))).toBe('endorsement_untrusted');
  });

  test('refuses an issuer that is not on the way', async () => {
    expect(await codeOf(shown(await certificateOf(), intermediate, lookalike), context([anchorOf(root)]))).toBe('endorsement_untrusted');
  });

  test.each<[string, Partial<CertificateWishes>]>([
    ['expired', { notAfter: new Date('2025-01-01T00:00:00Z') }],
    ['not yet valid', { notBefore: new Date('2030-01-01T00:00:00Z') }],
  ])('refuses a certificate that is %s, and says between which days it counts', async (_name, wishes) => {
    const refusal = await answer(shown(await certificateOf(ak, wishes), intermediate), context([anchorOf(root)]));
    expect(refusal).toMatchObject({ code: 'evidence_expired', failed: [{ seen: NOW.toISOString() }] });
  });

  test('refuses what is no certificate, several in one member, and issuers without a leaf', async () => {
    const leaf = await certificateOf();
    const pem = Buffer.from(
      [intermediate, root].map(({ der }) => `-----BEGIN CERTIFICATE-----\n${toBase64(der)}\n-----END CERTIFICATE-----\n`).join(''),
    );
    const bad = [
      { akCertificate: 'AAAA' },
      { akCertificate: toBase64(new Uint8Array([...leaf.der, 0])) },
      { ...shown(leaf), akIntermediates: [toBase64(pem)] },
      { akIntermediates: [toBase64(intermediate.der)] },
    ];
    for (const body of bad) expect(await codeOf(body, context([anchorOf(root)]))).toBe('evidence_malformed');
  });

  test('names nobody before the quote is verified, and somebody after', async () => {
    const leaf = shown(await certificateOf(), intermediate);
    const unsigned = await answer({ ...leaf, signature: quoteOf(other, BINDING).signature }, context([anchorOf(root)]));
    expect(unsigned).toMatchObject({ code: 'evidence_signature_invalid' });
    expect(unsigned).not.toHaveProperty('subject');
    const replayed = await answer({ ...leaf, ...quoteOf(ak, BINDING.slice(1)) }, context([anchorOf(root)]));
    expect(replayed).toMatchObject({ code: 'evidence_binding_mismatch', subject: { name: 'guest-1' }, failed: [{ claim: 'extraData' }] });
  });

  test('is nobody when nobody is enrolled by it', async () => {
    const leaf = shown(await certificateOf(), intermediate);
    expect(await codeOf(leaf, context([anchorOf(root)], { attester: async () => undefined }))).toBe('attester_key_unknown');
  });
});

test('a key that is enrolled by activation and by its name is of two requesters: a stop of one must not be passed by as the other', async () => {
  const under = context([anchorOf(root, 'endorsement-keys')]);
  const { identity: _, ...known } = enrolledBy('tpm2', { fact: 'akName', value: akName });
  const activated: EnrolledTpm2 = { ...known, kind: 'tpm2', akName, ekCertificateDigest: 'e'.repeat(64) as Digest };
  const both = async (key: string) => (key === tpm2AttesterKey(akName) ? activated : under.attester(key));
  expect(await codeOf({}, { ...under, attester: both })).toBe('attester_ambiguous');
  const alone = async (key: string) => (key === tpm2AttesterKey(akName) ? activated : undefined);
  expect(await codeOf({}, { ...under, attester: alone })).toBe('verified');
});

describe('a key that the hardware report of its guest names', () => {
  const anchors = () => [amdAnchor()];

  test('counts under the anchors of the report, and is inside that TEE', async () => {
    const claims = await answer({ hcl: await makeHcl(line, { ak }) }, context(anchors()));
    if (isRefusal(claims)) throw new Error(`${claims.code}: ${claims.detail}`);
    expect(claims).toMatchObject({
      anchoredBy: 'sev-snp',
      proved: { tee: true },
      facts: { akTrust: 'tee', teeProduct: 'Genoa', teeMeasurement: 'ab'.repeat(48), debug: false },
    });
    expect(problemsOfFacts('tpm2', claims.facts)).toEqual([]);
  });

  test('needs both to hold when a certificate came along', async () => {
    const hcl = await makeHcl(line, { ak });
    const leaf = shown(await certificateOf(), intermediate);
    expect(await codeOf({ hcl, ...leaf }, context([...anchors(), anchorOf(root)]))).toBe('verified');
    expect(await codeOf({ hcl, ...leaf }, context(anchors()))).toBe('endorsement_untrusted');
    expect(await codeOf({ hcl, ...shown(await certificateOf(other), intermediate) }, context([...anchors(), anchorOf(root)]))).toBe(
      'endorsement_untrusted',
    );
  });

  test.each<[string, Parameters<typeof makeHcl>[1], string]>([
    ['another key', { ak: other }, 'endorsement_untrusted'],
    ['a text that was changed afterwards', { ak, otherText: (text) => text.replace('true', 'null') }, 'endorsement_untrusted'],
    ['another key under the digest of the right text', { ak: other, otherText: (text) => text }, 'endorsement_untrusted'],
    ['a report that the system of the guest asked for', { ak, report: { patch: { 48: 2 } } }, 'endorsement_untrusted'],
    ['a guest that may be migrated', { ak, report: { policy: 0x70000n } }, 'endorsement_untrusted'],
    ['report data that is padded with more than zeros', { ak, report: { patch: { 143: 1 } } }, 'endorsement_untrusted'],
    ['a report of a TDX guest, it says', { ak, type: 4 }, 'evidence_malformed'],
    ['a report of no known make', { ak, type: 9 }, 'evidence_malformed'],
    [
      'two keys of that name',
      { ak, otherText: (text) => text.replace('"keys":[', '"keys":[{"kid":"HCLAkPub"},') },
      'endorsement_untrusted',
    ],
  ])('refuses one that names %s', async (_name, wishes, code) => {
    expect(await codeOf({ hcl: await makeHcl(line, wishes) }, context(anchors()))).toBe(code);
  });

  test('refuses without an anchor for the report, whatever else is trusted', async () => {
    expect(await codeOf({ hcl: await makeHcl(line, { ak }) }, context([anchorOf(root), anchorOf(root, 'endorsement-keys')]))).toBe(
      'endorsement_untrusted',
    );
  });

  test('refuses a report whose chip nobody certified', async () => {
    const strange = await makeSnpLine('Genoa');
    expect(await codeOf({ hcl: await makeHcl(strange, { ak }) }, context(anchors()))).toBe('endorsement_untrusted');
  });

  test('asks for the certificate of the chip when neither the evidence nor the vault has it', async () => {
    const { report } = await makeHcl(line, { ak });
    expect(await codeOf({ hcl: { report } }, context(anchors()))).toBe('collateral_missing');
  });

  test('says that the guest may be read, for the appraisal to refuse', async () => {
    const debug = await answer({ hcl: await makeHcl(line, { ak, report: { policy: 0xb0000n } }) }, context(anchors()));
    expect(debug).toMatchObject({ facts: { debug: true } });
  });
});

describe('a reference value for a TPM', () => {
  const pcrs = { sha256: { '7': ['07'.repeat(32)] } };
  const measurement = 'ab'.repeat(48);
  const inTee = async (): Promise<VerifiedClaims> => {
    const claims = await answer({ hcl: await makeHcl(line, { ak }) }, context([amdAnchor()]));
    if (isRefusal(claims)) throw new Error(claims.detail);
    return claims;
  };
  const codeUnder = (claims: VerifiedClaims, value: object): string => {
    const matched = matchReferenceValues(claims, [{ id: 'v', kind: 'tpm2', pcrs, ...value }], NOW);
    return isRefusal(matched) ? matched.code : 'matched';
  };

  test('that names PCRs alone accepts no TPM that only a hardware report vouches for: anybody can start firmware of his own', async () => {
    const claims = await inTee();
    expect(codeUnder(claims, {})).toBe('measurement_mismatch');
    expect(codeUnder(claims, { claims: { teeMeasurement: [measurement] } })).toBe('measurement_mismatch');
    expect(codeUnder(claims, { claims: { akTrust: ['tee'], teeMeasurement: ['cd'.repeat(48)] } })).toBe('measurement_mismatch');
    expect(codeUnder(claims, { claims: { akTrust: ['tee'], teeMeasurement: [measurement] } })).toBe('matched');
    expect(codeUnder(claims, { claims: { akTrust: ['tee'], teeMeasurement: [measurement] }, atLeast: { teeTcbSnp: 24 } })).toBe(
      'measurement_mismatch',
    );
  });

  test('that accepts such a TPM must say whose firmware it is in', () => {
    const form = (claims: object) => referenceValue.safeParse({ id: 'v', kind: 'tpm2', pcrs, claims }).success;
    expect(form({ akTrust: ['tee'] })).toBe(false);
    expect(form({ akTrust: ['activation', 'tee'], secureBoot: ['true'] })).toBe(false);
    expect(form({ akTrust: ['tee'], teeMeasurement: [measurement] })).toBe(true);
    expect(form({ nothingKnown: ['x'] })).toBe(false);
  });

  test('may name what the boot log says, and an absent log matches none of it', async () => {
    const facts = {
      akName,
      akTrust: 'activation',
      commandLines: ['root=/dev/sda console=ttyS0,115200', 'quiet'],
      secureBoot: true,
      bootApplications: ['aa'],
    };
    const booted: VerifiedClaims = { ...(await inTee()), facts } as VerifiedClaims;
    const wanted = { commandLines: ['quiet,root=/dev/sda console=ttyS0\\,115200'] };
    expect(problemsOfFacts('tpm2', facts)).toEqual([]);
    expect(codeUnder(booted, { claims: wanted })).toBe('matched');
    expect(codeUnder(booted, { claims: { ...wanted, secureBoot: ['false'] } })).toBe('measurement_mismatch');
    const { commandLines: _, ...without } = facts;
    expect(codeUnder({ ...booted, facts: without } as VerifiedClaims, { claims: wanted })).toBe('measurement_mismatch');
  });

  test('without a PCR must name what the firmware started: a command line is the word of whatever was', async () => {
    const facts = { akName, akTrust: 'activation', commandLines: ['quiet'], secureBoot: true, bootApplications: ['bb', 'aa'] };
    const booted: VerifiedClaims = { ...(await inTee()), facts } as VerifiedClaims;
    expect(codeUnder(booted, { pcrs: {}, claims: { bootApplications: ['aa,bb'], secureBoot: ['true'] } })).toBe('matched');
    expect(codeUnder(booted, { pcrs: {}, claims: { bootApplications: ['aa'] } })).toBe('measurement_mismatch');
    expect(codeUnder(booted, { pcrs: {}, claims: { commandLines: ['quiet'], secureBoot: ['true'] } })).toBe('measurement_mismatch');
  });
});

test('an anchor for attestation keys is said in version 2 of the document, and another in version 1', () => {
  expect(anchorsVersion([anchorOf(root, 'endorsement-keys')])).toBe(1);
  expect(anchorsVersion([anchorOf(root)])).toBe(2);
});
