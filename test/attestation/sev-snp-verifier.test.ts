/** SEV-SNP evidence as the vault takes it: bound to the challenge, under the anchors in force, with what the vault keeps. */
import { describe, expect, test } from '@jest/globals';
import type { VerificationContext } from '../../src/attestation/port.ts';
import { createSnpVerifier } from '../../src/attestation/sev-snp/verifier.ts';
import { toBase64 } from '../../src/domain/bytes.ts';
import { isRefusal, teeReportData } from '../../src/domain/evidence.ts';
import { evidenceVerifierContract } from '../contract/evidence-verifier.ts';
import { issueCrl } from './crl-maker.ts';
import { AMD_NAME, CHIP_ID, makeReport, makeSnpLine, NOW, PSS, pemOf, type ReportWishes, TCB } from './snp-maker.ts';
import { BINDING, keeping, workloadContext } from './workload-context.ts';

const genoa = await makeSnpLine('Genoa');
const vcek = await genoa.key({ tcb: TCB.Genoa.extensions });
const vlek = await genoa.key({ tcb: TCB.Genoa.extensions, kind: 'VLEK' });
const chip = Buffer.from(CHIP_ID).toString('hex');
const kept = {
  [`amd-vcek Genoa/${chip}/0a00000000001754`]: vcek.der,
  'amd-chain Genoa/VCEK': genoa.chain(),
  'amd-chain Genoa/VLEK': genoa.chain('VLEK'),
};
const anchor = { kind: 'sev-snp', name: 'ark-genoa', certificate: toBase64(genoa.pinned.certificate) } as const;
const identity = { fact: 'measurement', value: 'ab'.repeat(48) };
const reportData = teeReportData(BINDING);

const context = (change: Partial<VerificationContext> = {}): VerificationContext => ({
  ...workloadContext({ kind: 'sev-snp', identity, anchors: [anchor], collateral: keeping(kept), now: NOW }),
  ...change,
});
const report = (wishes: Partial<ReportWishes> = {}, key = vcek) =>
  toBase64(makeReport({ tcb: TCB.Genoa.raw, reportData, ...wishes }, key.keys.privateKey));
const verify = (body: Record<string, unknown>, change: Partial<VerificationContext> = {}) =>
  createSnpVerifier().verify(body, context(change));
const codeOf = async (body: Record<string, unknown>, change: Partial<VerificationContext> = {}) => {
  const answer = await verify(body, change);
  return isRefusal(answer) ? answer.code : 'verified';
};
const genuine = { report: report() };
const arkCrl = (wishes: Partial<Parameters<typeof issueCrl>[0]> = {}) =>
  issueCrl({ issuer: { subject: `CN=ARK-Genoa, ${AMD_NAME}`, signer: genoa.rootKeys.privateKey, algorithm: PSS }, ...wishes });

evidenceVerifierContract('sev-snp', () => ({ verifier: createSnpVerifier(), body: genuine, context: context() }));

describe('a report', () => {
  test('is verified with what the vault keeps, or with certificates that came along', async () => {
    const own = { ...genuine, certificate: toBase64(vcek.der), intermediate: toBase64(genoa.ask) };
    const [first, second] = [await verify(genuine), await verify(own, { collateral: keeping({}) })];
    expect(first).toMatchObject({
      kind: 'sev-snp',
      attester: { name: 'guest-1' },
      facts: { tcbSnp: 23, debug: false, endorsementKey: 'VCEK' },
    });
    expect(second).toEqual(first);
  });

  test('of version 2, which names no product, is verified as well', async () => {
    expect(await codeOf({ report: report({ version: 2 }) })).toBe('verified');
  });

  test('under the key of a cloud brings its certificate, and is of no chip', async () => {
    const body = { report: report({ signingKey: 1, chipId: new Uint8Array(64) }, vlek), certificate: toBase64(vlek.der) };
    expect(await verify(body)).toMatchObject({ facts: { endorsementKey: 'VLEK', cspId: 'CN=a-cloud', chipId: '00'.repeat(64) } });
  });

  test('names everything that the verdict stood on, by digest and dates', async () => {
    const crl = await arkCrl();
    const answer = await verify(genuine, { collateral: keeping({ ...kept, 'amd-crl Genoa': crl }) });
    expect(answer).toMatchObject({
      facts: { revocation: 'good', collateralStale: false },
      endorsements: [
        { what: 'VCEK', notBefore: '2024-01-01T00:00:00Z' },
        { what: 'ASK' },
        { what: 'ARK' },
        { what: 'ARK CRL', notAfter: '2026-02-01T00:00:00Z' },
      ],
    });
  });

  test('of a debug guest is verified: that it must not get weights is said by the appraisal, which knows whose it is', async () => {
    expect(await verify({ report: report({ policy: 0xb0000n }) })).toMatchObject({ facts: { debug: true } });
  });
});

describe('collateral that is imported', () => {
  const identify = (bytes: Uint8Array, roots = [genoa.pinned.certificate]) => createSnpVerifier().identifyCollateral?.(bytes, 'any', roots);

  test('is known by what it is: a chain, a list, the certificate of a chip', async () => {
    expect(identify(genoa.chain())).toMatchObject({ type: 'amd-chain', key: 'Genoa/VCEK' });
    expect(identify(genoa.chain('VLEK'))).toMatchObject({ type: 'amd-chain', key: 'Genoa/VLEK' });
    const dates = { issuedAt: new Date('2026-01-01T00:00:00Z'), expiresAt: new Date('2026-02-01T00:00:00Z') };
    expect(identify(await arkCrl())).toEqual({ type: 'amd-crl', key: 'Genoa', ...dates });
    expect(identify(pemOf([vcek.der, genoa.ask]))).toMatchObject({ type: 'amd-vcek', key: `Genoa/${chip}/0a00000000001754` });
  });

  test('is not, without the way to a root in force, or when it is something else', async () => {
    const stranger = await makeSnpLine('Genoa');
    const issuer = { subject: `CN=ARK-Genoa, ${AMD_NAME}`, signer: stranger.rootKeys.privateKey, algorithm: PSS };
    const wrong = [
      vcek.der,
      stranger.chain(),
      await issueCrl({ issuer }),
      pemOf([vlek.der, genoa.ask]),
      Uint8Array.of(1),
      new Uint8Array(70_000),
    ];
    for (const bytes of wrong) expect(identify(bytes)).toBeUndefined();
    expect(identify(genoa.chain(), [])).toBeUndefined();
    expect(identify(genoa.pinned.certificate)).toBeUndefined();
  });
});

describe('a list of the root', () => {
  const withList = async (crl: Uint8Array) => verify(genuine, { collateral: keeping({ ...kept, 'amd-crl Genoa': crl }) });

  test('that revokes the intermediate refuses the evidence, even when the list is old', async () => {
    const until = new Date('2026-01-02T00:00:00Z');
    for (const crl of [await arkCrl({ revoked: ['010001'] }), await arkCrl({ revoked: ['010001'], until })]) {
      expect(await withList(crl)).toMatchObject({ code: 'endorsement_revoked' });
    }
  });

  test('that is old is said to be: what it does not name may be revoked today', async () => {
    const crl = await arkCrl({ until: new Date('2026-01-02T00:00:00Z') });
    expect(await withList(crl)).toMatchObject({ facts: { revocation: 'unknown', collateralStale: true } });
  });

  test('that is none, of somebody else or of the future says nothing', async () => {
    const stranger = await makeSnpLine('Genoa');
    const issuer = { subject: `CN=ARK-Genoa, ${AMD_NAME}`, signer: stranger.rootKeys.privateKey, algorithm: PSS };
    const future = { from: new Date('2026-01-20T00:00:00Z') };
    for (const crl of [Uint8Array.of(1), await issueCrl({ issuer }), await arkCrl(future)]) {
      expect(await withList(crl)).toMatchObject({ facts: { revocation: 'unknown', collateralStale: false } });
    }
  });
});

describe('a report is refused', () => {
  test('when report data is SHA-512 of the binding cut, padded or of another hash', async () => {
    const padded = new Uint8Array(64);
    padded.set(reportData.subarray(0, 32));
    for (const wrong of [padded, new Uint8Array(64), Uint8Array.from(reportData).reverse()]) {
      expect(await codeOf({ report: report({ reportData: wrong }) })).toBe('evidence_binding_mismatch');
    }
  });

  test('when no anchor for this kind is in force, or only a lookalike', async () => {
    expect(await codeOf(genuine, { anchors: [] })).toBe('endorsement_untrusted');
    expect(await codeOf(genuine, { anchors: [{ ...anchor, kind: 'tdx' }] })).toBe('endorsement_untrusted');
    const lookalike = await makeSnpLine('Genoa');
    const anchors = [{ ...anchor, certificate: toBase64(lookalike.pinned.certificate) }];
    expect(await codeOf(genuine, { anchors })).toBe('endorsement_untrusted');
  });

  test('when neither it nor the vault has the certificates', async () => {
    expect(await codeOf(genuine, { collateral: keeping({}) })).toBe('collateral_missing');
    expect(await codeOf({ ...genuine, certificate: toBase64(vcek.der) }, { collateral: keeping({}) })).toBe('collateral_missing');
  });

  test('when another key signed it, another chip or TCB is certified, or it ran out', async () => {
    expect(await codeOf({ report: report({}, vlek) })).toBe('evidence_signature_invalid');
    const body = async (wishes: Partial<Parameters<typeof genoa.key>[0]>) => {
      const key = await genoa.key({ tcb: TCB.Genoa.extensions, ...wishes });
      return { report: report({}, key), certificate: toBase64(key.der) };
    };
    expect(await codeOf(await body({ hwId: CHIP_ID.toReversed() }))).toBe('evidence_signature_invalid');
    expect(await codeOf(await body({ tcb: { ...TCB.Genoa.extensions, 3: 24 } }))).toBe('evidence_signature_invalid');
    expect(await codeOf(await body({ notAfter: new Date('2025-01-01T00:00:00Z') }))).toBe('evidence_expired');
    expect(await codeOf(await body({ productName: 'Milan-B0' }))).toBe('endorsement_untrusted');
  });

  test('when a certificate that came along is none, while one that is kept would do', async () => {
    expect(await codeOf({ ...genuine, certificate: toBase64(Uint8Array.of(1, 2, 3)) })).toBe('evidence_malformed');
    expect(await codeOf({ ...genuine, intermediate: toBase64(vcek.der) })).toBe('endorsement_untrusted');
  });

  test('is an error of ours, not a refusal, when an anchor cannot be read', async () => {
    await expect(verify(genuine, { anchors: [{ ...anchor, certificate: 'AAAA' }] })).rejects.toThrow('ark-genoa');
  });
});
