/** Lists of revoked certificates of a cloud that certifies keys of TPMs: given beside a quote, and kept by the vault. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { KeyUsageFlags } from '@peculiar/x509';
import type { VerificationContext } from '../../src/attestation/port.ts';
import { examineSnpReport } from '../../src/attestation/sev-snp/examine.ts';
import { examineTdxQuote } from '../../src/attestation/tdx/examine.ts';
import { createTpmQuoteExamination } from '../../src/attestation/tpm2/examine.ts';
import { parsePublicArea } from '../../src/attestation/tpm2/public-area.ts';
import { createTpm2Verifier } from '../../src/attestation/tpm2/verifier.ts';
import { readCertificate } from '../../src/attestation/x509/certificate.ts';
import { toBase64 } from '../../src/domain/bytes.ts';
import { isRefusal, type TrustAnchor } from '../../src/domain/evidence.ts';
import { problemsOfFacts } from '../../src/domain/facts.ts';
import { quoteOf } from './azure-maker.ts';
import { type CrlWishes, issueCrl } from './crl-maker.ts';
import { attest, makeAk, publicArea, tpmSignature } from './quote-maker.ts';
import { reportChecks } from './report-checks.ts';
import { NOW, pemOf } from './snp-maker.ts';
import { ca, deviceName, digitalSignature, type Issued, issue, keyUsage, notCa, usage } from './test-ca.ts';
import { keeping, workloadContext } from './workload-context.ts';

const ak = makeAk();
const akName = parsePublicArea(publicArea(ak)).name;
const authority = keyUsage(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign);
const root = await issue({ name: 'cloud root', extensions: [ca(), authority] });
const middle = await issue({ name: 'cloud tpm ca', issuer: root, extensions: [ca(0), authority] });
const stranger = await issue({ name: 'cloud tpm ca', extensions: [ca(), authority] });
const publicKey = await webcrypto.subtle.importKey('spki', ak.spki, { name: 'ECDSA', namedCurve: 'P-256' }, true, ['verify']);
const leaf = await issue({
  name: '',
  issuer: middle,
  publicKey,
  extensions: [notCa, deviceName, digitalSignature, usage('2.23.133.8.3')],
});
const serialOf = ({ der }: Issued) => {
  const { serial } = readCertificate(der);
  return serial.padStart(serial.length + (serial.length % 2), '0');
};
const [ofRoot, ofMiddle] = [await issueCrl({ issuer: root }), await issueCrl({ issuer: middle })];
const pemLists = (...lists: readonly Uint8Array[]) =>
  new Uint8Array(Buffer.from(lists.map((der) => `-----BEGIN X509 CRL-----\n${toBase64(der)}\n-----END X509 CRL-----\n`).join('')));

describe('lists beside a quote', () => {
  const examine = createTpmQuoteExamination({ snp: examineSnpReport, tdx: examineTdxQuote });
  const pcrs = { sha256: { 0: '00'.repeat(32) } };
  const evidence = attest({ pcrs });
  const answer = (lists?: Uint8Array) =>
    examine({
      evidence,
      companions: {
        signature: tpmSignature(evidence, ak),
        pcrs: new Uint8Array(Buffer.from(JSON.stringify(pcrs))),
        ak_certificate: leaf.der,
        ak_chain: pemOf([middle.der]),
        ...(lists && { ak_crl: lists }),
      },
      parameters: {},
      roots: [{ name: 'google-ek-ak-ca-root', vendor: 'google', certificate: root.der }],
      now: NOW,
    });

  test.each<[string, () => Uint8Array | undefined, string]>([
    ['none', () => undefined, 'unknown'],
    ['of one authority of two', () => ofMiddle, 'unknown'],
    ['of every authority', () => pemLists(ofRoot, ofMiddle), 'good'],
  ])('%s: what is known of its revocation', async (_, lists, revocation) => {
    expect(await answer(lists())).toMatchObject({ accept: true, reasons: [], claims: { ak_revocation: revocation } });
  });

  const made = (wishes: Partial<CrlWishes>, issuer: CrlWishes['issuer'] = middle) => issueCrl({ issuer, ...wishes });
  test.each<[string, () => Promise<Uint8Array>, string]>([
    ['names the certificate', () => made({ revoked: [serialOf(leaf)] }), 'certificate_revoked'],
    ['names its authority', () => made({ revoked: [serialOf(middle)] }, root), 'certificate_revoked'],
    ['has ended', () => made({ until: new Date('2026-01-02T00:00:00Z') }), 'crl_expired'],
    ['has not begun', () => made({ from: new Date('2026-01-16T00:00:00Z') }), 'crl_not_yet_valid'],
    ['is of an authority of the same name', () => made({}, stranger), 'crl_invalid'],
    ['is none', async () => new Uint8Array(9), 'crl_invalid'],
  ])('one that %s takes the trust away', async (_, list, word) => {
    expect(await answer(await list())).toMatchObject({
      valid: false,
      reasons: [word, 'ak_not_certified'],
      claims: { ak_revocation: 'unknown' },
    });
  });

  test('one of the authority above does not speak for the certificates below', async () => {
    expect(await answer(await made({ revoked: [serialOf(leaf)] }, root))).toMatchObject({ accept: true });
  });
});

describe('lists that the vault keeps', () => {
  const verifier = createTpm2Verifier(reportChecks());
  const anchor: TrustAnchor = { kind: 'tpm2', name: 'cloud', certificate: toBase64(root.der), use: 'attestation-keys' };
  const identify = (bytes: Uint8Array, roots = [root.der]) => verifier.identifyCollateral?.(bytes, 'any', roots);
  /** As `wv evidence collateral import` files them. */
  const kept = (...files: readonly Uint8Array[]) =>
    keeping(
      Object.fromEntries(
        files.flatMap((bytes) => {
          const found = identify(bytes);
          return found === undefined ? [] : [[`${found.type} ${found.key}`, bytes] as const];
        }),
      ),
    );
  const answer = (change: Partial<VerificationContext> = {}) => {
    const wanted = {
      kind: 'tpm2' as const,
      identity: { fact: 'akName', value: akName },
      anchors: [anchor],
      collateral: keeping({}),
      now: NOW,
    };
    const context = { ...workloadContext(wanted), ...change };
    const shown = { akCertificate: toBase64(leaf.der), akIntermediates: [toBase64(middle.der)] };
    return verifier.verify({ ...quoteOf(ak, context.binding), ...shown }, context);
  };
  /** Of an authority below the root: with that authority behind it. */
  const published = (list: Uint8Array) => Uint8Array.of(...pemLists(list), ...pemOf([middle.der]));

  test('are recognized by the root they lead to, and found by the authority', () => {
    expect(identify(ofRoot)).toMatchObject({ type: 'x509-crl', expiresAt: new Date('2026-02-01T00:00:00Z') });
    expect(identify(published(ofMiddle))).toMatchObject({ type: 'x509-crl' });
    expect(identify(ofMiddle)).toBeUndefined();
    expect(identify(ofRoot, [stranger.der])).toBeUndefined();
  });

  test.each<[string, () => VerificationContext['collateral'], object]>([
    ['none', () => keeping({}), { akRevocation: 'unknown', collateralStale: false }],
    ['of one authority', () => kept(ofRoot), { akRevocation: 'unknown', collateralStale: false }],
    ['of both', () => kept(ofRoot, published(ofMiddle)), { akRevocation: 'good', collateralStale: false }],
  ])('%s: what the facts say, and the result names each', async (_, collateral, facts) => {
    const claims = await answer({ collateral: collateral() });
    if (isRefusal(claims)) throw new Error(`${claims.code}: ${claims.detail}`);
    expect(claims.facts).toMatchObject({ akTrust: 'certificate', ...facts });
    expect(problemsOfFacts('tpm2', claims.facts)).toEqual([]);
  });

  test('past their date say what they said, and that they are old', async () => {
    const claims = await answer({ collateral: kept(ofRoot, published(ofMiddle)), now: new Date('2026-03-01T00:00:00Z') });
    expect(claims).toMatchObject({ facts: { akRevocation: 'unknown', collateralStale: true } });
    if (isRefusal(claims)) throw new Error(claims.detail);
    expect(claims.endorsements?.filter(({ what }) => what === 'authority CRL')).toHaveLength(2);
  });

  test('refuse a key whose certificate, or whose authority, they name', async () => {
    for (const list of [
      published(await issueCrl({ issuer: middle, revoked: [serialOf(leaf)] })),
      await issueCrl({ issuer: root, revoked: [serialOf(middle)] }),
    ]) {
      expect(await answer({ collateral: kept(list) })).toMatchObject({
        code: 'endorsement_revoked',
        failed: [{ claim: 'certificates of the attestation key', seen: expect.stringMatching(/^serial [0-9a-f]+$/) }],
      });
    }
  });
});
