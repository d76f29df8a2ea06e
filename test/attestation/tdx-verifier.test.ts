/** TDX evidence as the vault takes it: bound to the challenge, under the anchors in force, judged by what the vault keeps. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { parseEventLog } from '../../src/attestation/event-log/event-log.ts';
import { replay } from '../../src/attestation/event-log/replay.ts';
import type { VerificationContext } from '../../src/attestation/port.ts';
import { createTdxVerifier } from '../../src/attestation/tdx/verifier.ts';
import { readCertificate } from '../../src/attestation/x509/certificate.ts';
import { toBase64 } from '../../src/domain/bytes.ts';
import { isRefusal, teeReportData } from '../../src/domain/evidence.ts';
import { evidenceVerifierContract } from '../contract/evidence-verifier.ts';
import { issueCrl } from './crl-maker.ts';
import { latin, log, variable } from './log-maker.ts';
import {
  type BundleWishes,
  FMSPC,
  level,
  makeBundle,
  makeIntelWorld,
  makePck,
  makeQuote,
  NOW,
  type QuoteWishes,
  tcbInfo,
} from './tdx-maker.ts';
import { BINDING, keeping, workloadContext } from './workload-context.ts';

const world = await makeIntelWorld();
const pck = await makePck(world);
const anchor = { kind: 'tdx', name: 'intel-sgx-root-ca', certificate: toBase64(world.root.der) } as const;
const identity = { fact: 'mrtd', value: 'cd'.repeat(48) };
const reportData = teeReportData(BINDING);
const collateral = async (wishes: BundleWishes = {}) => keeping({ [`tdx-collateral ${FMSPC}`]: await makeBundle(world, wishes) });
const kept = await collateral();

const context = (change: Partial<VerificationContext> = {}): VerificationContext => ({
  ...workloadContext({ kind: 'tdx', identity, anchors: [anchor], collateral: kept, now: NOW }),
  ...change,
});
const quote = (wishes: QuoteWishes = {}, key = pck) => ({ quote: toBase64(makeQuote(world, key, { reportData, ...wishes })) });
const verify = (body: Record<string, unknown>, change: Partial<VerificationContext> = {}) =>
  createTdxVerifier().verify(body, context(change));
const codeOf = async (body: Record<string, unknown>, change: Partial<VerificationContext> = {}) => {
  const answer = await verify(body, change);
  return isRefusal(answer) ? answer.code : 'verified';
};
const genuine = quote();
const serialOf = ({ der }: { der: Uint8Array }) => {
  const { serial } = readCertificate(der);
  return serial.padStart(serial.length + (serial.length % 2), '0');
};

evidenceVerifierContract('tdx', () => ({ verifier: createTdxVerifier(), body: genuine, context: context() }));

describe('a quote', () => {
  test('says who asks, what runs there, and what the verdict stood on', async () => {
    expect(await verify(genuine)).toMatchObject({
      kind: 'tdx',
      attester: { name: 'guest-1' },
      facts: {
        tcbStatus: 'UpToDate',
        revocation: 'good',
        collateralStale: false,
        fmspc: FMSPC,
        septVeDisable: true,
        tcbEvaluationDataNumber: 18,
      },
      endorsements: [
        { what: 'PCK' },
        { what: 'PCK CA' },
        { what: 'SGX root CA' },
        { what: 'TDX collateral', notBefore: '2026-01-01T00:00:00Z', notAfter: '2026-02-01T00:00:00Z' },
      ],
    });
  });

  test('behind, unknown or judged by no level is verified: a status is a fact, and what it is worth says the reference value', async () => {
    const status = async (wishes: BundleWishes) => {
      const answer = await verify(genuine, { collateral: await collateral(wishes) });
      return isRefusal(answer) ? answer.code : [answer.facts['tcbStatus'], answer.facts['advisoryIds']];
    };
    const levels = (...tcbLevels: readonly object[]) => ({ info: tcbInfo({ tcbLevels }) });
    expect(await status(levels(level('OutOfDate', 5, 5, { advisoryIDs: ['INTEL-SA-1'] })))).toEqual(['OutOfDate', ['INTEL-SA-1']]);
    expect(await status(levels(level('Revoked', 5, 5)))).toEqual(['Revoked', []]);
    expect(await status(levels(level('UpToDate', 9, 9)))).toEqual(['NoMatchingLevel', []]);
  });

  test('under debug, in any bit of the low byte, is verified and says so', async () => {
    for (const bit of [1, 0x80]) expect(await verify(quote({ tdAttributes: [bit] }))).toMatchObject({ facts: { debug: true } });
  });

  test('is judged by the last collateral that was known when that is past its date, and says so', async () => {
    const stale = { revocation: 'unknown', collateralStale: true, tcbStatus: 'UpToDate' };
    expect(await verify(genuine, { now: new Date('2026-03-01T00:00:00Z') })).toMatchObject({ facts: stale });
  });
});

describe('collateral that is imported', () => {
  const identify = (bytes: Uint8Array, roots = [world.root.der]) => createTdxVerifier().identifyCollateral?.(bytes, 'any', roots);

  test('is known by its FMSPC and dates, when Intel signed all of it', async () => {
    expect(identify(await makeBundle(world))).toEqual({
      type: 'tdx-collateral',
      key: FMSPC,
      counters: { tcbInfo: 18, qeIdentity: 18 },
      issuedAt: new Date('2026-01-01T00:00:00Z'),
      expiresAt: new Date('2026-02-01T00:00:00Z'),
    });
  });

  test('is not, when a part is of somebody else, missing, or the root is not in force', async () => {
    const stranger = await makeIntelWorld();
    const strange = await issueCrl({ issuer: stranger.platform });
    for (const wishes of [{ signer: stranger.signer }, { pckCrl: strange }, { change: { pck_crl_issuer_chain: undefined } }]) {
      expect(identify(await makeBundle(world, wishes))).toBeUndefined();
    }
    expect(identify(await makeBundle(world), [])).toBeUndefined();
    expect(identify(Uint8Array.of(1))).toBeUndefined();
    expect(identify(new Uint8Array(2_000_000))).toBeUndefined();
  });
});

describe('an event log beside a quote', () => {
  const events = [
    { register: 1, type: 0x8000_0001, data: variable('SecureBoot', Uint8Array.of(1)) },
    { register: 1, type: 4, data: new Uint8Array(4) }, // separator: the firmware's own measuring ends
    { register: 2, type: 0x8000_0003, data: latin('boot loader') },
    { register: 3, type: 0x0d, data: latin('command line') },
  ];
  const ccel = log(['sha384'], ...events);
  const replayed = replay(parseEventLog(ccel)).sha384 ?? {};
  const rtmr = [1, 2, 3].map((register) => new Uint8Array(Buffer.from(replayed[register] ?? '', 'hex')));
  const afterBoot = new Uint8Array(48).fill(5);
  const withLog = (eventLog: Uint8Array, registers: readonly Uint8Array[]) => ({
    ...quote({ rtmr: registers }),
    eventLog: toBase64(eventLog),
  });

  test('that replays to its RTMRs adds what was started, and need not know what the guest extended into RTMR 3', async () => {
    const started = createHash('sha384').update('boot loader').digest('hex');
    for (const registers of [rtmr, [...rtmr, afterBoot]]) {
      expect(await verify(withLog(ccel, registers))).toMatchObject({ facts: { secureBoot: true, bootApplications: [started] } });
    }
    expect(await verify(quote({ rtmr }))).not.toHaveProperty('facts.secureBoot');
  });

  test('that replays to anything else is refused: altered, cut, longer, of another guest or empty', async () => {
    const cut = log(['sha384'], ...events.slice(0, 3));
    const longer = log(['sha384'], ...events, { register: 1, type: 0x0d, data: latin('more') });
    const altered = log(['sha384'], { ...events[0], register: 1, type: 0x8000_0001, data: variable('SecureBoot', Uint8Array.of(0)) });
    for (const wrong of [cut, longer, altered, log(['sha384'])]) expect(await codeOf(withLog(wrong, rtmr))).toBe('measurement_mismatch');
    expect(await codeOf(withLog(ccel, [afterBoot, ...rtmr.slice(1)]))).toBe('measurement_mismatch');
    const runtime = log(['sha384'], ...events, { register: 4, type: 0x0d, data: latin('application') });
    expect(await codeOf(withLog(runtime, [...rtmr, afterBoot]))).toBe('measurement_mismatch');
  });

  test('that is none, or has no SHA-384, is malformed', async () => {
    for (const wrong of [latin('no log'), log(['sha256'], { register: 1, type: 0x0d, data: latin('x') })]) {
      expect(await codeOf(withLog(wrong, rtmr))).toBe('evidence_malformed');
    }
  });
});

describe('a quote is refused', () => {
  test('whose platform key, or an authority above it, was revoked', async () => {
    const pckCrl = await issueCrl({ issuer: world.platform, revoked: [serialOf(pck)] });
    const rootCrl = await issueCrl({ issuer: world.root, revoked: [serialOf(world.platform)] });
    const old = await issueCrl({ issuer: world.platform, revoked: [serialOf(pck)], until: new Date('2026-01-02T00:00:00Z') });
    for (const wishes of [{ pckCrl }, { rootCrl }, { pckCrl: old }]) {
      expect(await codeOf(genuine, { collateral: await collateral(wishes) })).toBe('endorsement_revoked');
    }
  });

  test('when the vault has no collateral of its platform, or none that Intel signed', async () => {
    const stranger = await makeIntelWorld();
    const bundles = [
      keeping({}),
      keeping({ [`tdx-collateral ${FMSPC}`]: Uint8Array.of(1) }),
      await collateral({ signer: stranger.signer }),
      await collateral({ info: tcbInfo({ fmspc: '00806f050000' }) }),
      await collateral({ info: tcbInfo({ issueDate: '2026-01-20T00:00:00Z' }) }),
      await collateral({ change: { pck_crl: '3000' } }),
    ];
    for (const one of bundles) expect(await codeOf(genuine, { collateral: one })).toBe('collateral_missing');
  });

  test('when report data is SHA-512 of the binding cut, padded or of another hash', async () => {
    const padded = new Uint8Array(64);
    padded.set(reportData.subarray(0, 32));
    for (const wrong of [padded, new Uint8Array(64), Uint8Array.from(reportData).reverse()]) {
      expect(await codeOf(quote({ reportData: wrong }))).toBe('evidence_binding_mismatch');
    }
  });

  test('when its root is not in force, its signatures are broken, its module is a stranger or it ran out', async () => {
    expect(await codeOf(genuine, { anchors: [] })).toBe('endorsement_untrusted');
    expect(await codeOf(genuine, { anchors: [{ ...anchor, kind: 'sev-snp' }] })).toBe('endorsement_untrusted');
    const lookalike = await makeIntelWorld();
    const anchors = [{ ...anchor, certificate: toBase64(lookalike.root.der) }];
    expect(await codeOf(genuine, { anchors })).toBe('endorsement_untrusted');
    expect(await codeOf(quote({ qe: { 320: [1, 2] } }))).toBe('evidence_signature_invalid');
    expect(await codeOf(quote({ qe: { 128: [0] } }))).toBe('endorsement_untrusted');
    expect(await codeOf(quote({ body: { 64: [1] } }))).toBe('endorsement_untrusted');
    for (const byte of [1, 0]) expect(await codeOf(quote({ trailing: Uint8Array.of(byte) }))).toBe('evidence_malformed');
    const old = await makePck(world, { notAfter: new Date('2025-01-01T00:00:00Z') });
    expect(await codeOf(quote({}, old))).toBe('evidence_expired');
  });
});
