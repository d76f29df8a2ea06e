/** Lists of revoked certificates: whose they are, when they count, whom they name. */
import 'reflect-metadata';
import { describe, expect, test } from '@jest/globals';
import { Extension, KeyUsageFlags } from '@peculiar/x509';
import type { ExaminationInputs } from '../../src/attestation/examination.ts';
import { readCertificate } from '../../src/attestation/x509/certificate.ts';
import { examineAgainstCrl, examineCrl } from '../../src/attestation/x509/examine-crl.ts';
import { issueCrl } from './crl-maker.ts';
import { agreesOnEverySharedEntry } from './shared-evidence.ts';
import { ca, certSign, issue, keyUsage, notCa } from './test-ca.ts';

agreesOnEverySharedEntry('x509-crl', examineCrl);
agreesOnEverySharedEntry('x509-crl-check', examineAgainstCrl);

const { keyCertSign: CERT_SIGN, cRLSign: CRL_SIGN } = KeyUsageFlags;
const root = await issue({ name: 'root', extensions: [ca(), keyUsage(CERT_SIGN | CRL_SIGN)] });
const leaf = await issue({ name: 'leaf', issuer: root, extensions: [notCa] });
const serial = readCertificate(leaf.der).serial.padStart(4, '0');
const now = new Date('2026-01-15T00:00:00Z');
const nothing = { companions: {}, parameters: {}, roots: [], now };

const listInputs = (evidence: Uint8Array, change: Partial<ExaminationInputs> = {}): ExaminationInputs => ({
  ...nothing,
  evidence,
  roots: [{ name: 'root', vendor: 'amd', certificate: root.der }],
  ...change,
});
const reasons = async (inputs: ExaminationInputs, examine: typeof examineCrl = examineCrl) => (await examine(inputs)).reasons;

describe('a list by itself', () => {
  test('is good when a pinned root signed it and today lies between its dates', async () => {
    const crl = await issueCrl({ issuer: root, revoked: [serial, '00ff01'] });
    expect(examineCrl(listInputs(crl))).toEqual({
      valid: true,
      accept: true,
      reasons: [],
      claims: {
        issuer: 'CN=root',
        revoked_serials: [`0x${serial.replace(/^0+/, '')}`, '0xff01'],
        revoked_count: 2,
        first_revoked: `0x${serial.replace(/^0+/, '')}`,
        crl_number: null,
        signature_ok: true,
        valid_from: '2026-01-01T00:00:00Z',
        valid_until: '2026-02-01T00:00:00Z',
      },
    });
  });

  test('is refused before and after its dates, each with its own word', async () => {
    const crl = await issueCrl({ issuer: root });
    expect(await reasons(listInputs(crl, { now: new Date('2025-12-31T23:59:59Z') }))).toEqual(['crl_not_yet_valid']);
    expect(await reasons(listInputs(crl, { now: new Date('2026-02-01T00:00:01Z') }))).toEqual(['crl_expired']);
    expect(await reasons(listInputs(crl, { now: new Date('2026-02-01T00:00:00Z') }))).toEqual([]);
  });

  test('is refused when nobody that is pinned signs for its issuer, or another key of that name signed it', async () => {
    const crl = await issueCrl({ issuer: root });
    expect(await reasons(listInputs(crl, { roots: [] }))).toEqual(['issuer_unknown']);
    const lookalike = await issue({ name: 'root' });
    expect(await reasons(listInputs(await issueCrl({ issuer: lookalike })))).toEqual(['crl_signature_invalid']);
    const withItsOwn = { companions: { issuer_chain: lookalike.der } };
    expect(await reasons(listInputs(await issueCrl({ issuer: lookalike }), withItsOwn))).toEqual(['crl_signature_invalid']);
  });

  test('counts under an issuer that leads to the root, but not under one that may not sign lists', async () => {
    const middle = await issue({ name: 'middle', issuer: root, extensions: [ca(), keyUsage(CERT_SIGN | CRL_SIGN)] });
    const crl = await issueCrl({ issuer: middle });
    expect(await reasons(listInputs(crl, { companions: { issuer_chain: middle.der } }))).toEqual([]);
    const mute = await issue({ name: 'mute', issuer: root, extensions: [ca(), certSign] });
    const companions = { issuer_chain: mute.der };
    expect(await reasons(listInputs(await issueCrl({ issuer: mute }), { companions }))).toEqual(['crl_signature_invalid']);
  });

  test('of only some certificates (a critical extension) is refused, because it says nothing about the others', async () => {
    const partial = new Extension('2.5.29.28', true, Uint8Array.of(0x30, 0x03, 0x81, 0x01, 0xff));
    expect(await reasons(listInputs(await issueCrl({ issuer: root, extensions: [partial] })))).toEqual(['malformed']);
  });

  test('with one flipped bit in any byte it is never good, and nothing throws', async () => {
    const crl = await issueCrl({ issuer: root, revoked: [serial] });
    for (const [at] of crl.entries()) {
      const damaged = crl.slice();
      damaged[at] = (damaged[at] ?? 0) ^ (1 << ((at * 3) % 8));
      expect([at, (await examineCrl(listInputs(damaged))).valid]).toEqual([at, false]);
    }
  });

  test('too long, cut or of nothing it is malformed', async () => {
    const crl = await issueCrl({ issuer: root });
    for (const wrong of [new Uint8Array(0), new Uint8Array(262_145), crl.slice(0, -1), Uint8Array.of(...crl, 0)]) {
      expect(await reasons(listInputs(wrong))).toEqual(['malformed']);
    }
  });
});

describe('a certificate against a list', () => {
  const check = async (change: { evidence?: Uint8Array; companions?: Record<string, Uint8Array>; now?: Date }) =>
    reasons({ ...nothing, evidence: leaf.der, ...change }, examineAgainstCrl);

  test('passes when its issuer does not name it, and is refused when it does', async () => {
    expect(await check({ companions: { root: root.der, crl: await issueCrl({ issuer: root, revoked: ['0fff'] }) } })).toEqual([]);
    const companions = { root: root.der, crl: await issueCrl({ issuer: root, revoked: ['0fff', serial] }) };
    expect(await check({ companions })).toEqual(['certificate_revoked']);
  });

  test('is refused against the list of somebody else, or one that somebody else signed', async () => {
    const other = await issue({ name: 'other' });
    const lookalike = await issue({ name: 'root' });
    const companions = async (issuer: typeof root) => ({ root: root.der, crl: await issueCrl({ issuer }) });
    expect(await check({ companions: await companions(other) })).toContain('issuer_mismatch');
    expect(await check({ companions: await companions(lookalike) })).toEqual(['crl_signature_invalid']);
    const crl = await issueCrl({ issuer: root });
    expect(await check({ companions: { root: lookalike.der, crl } })).toEqual(['certificate_signature_invalid', 'crl_signature_invalid']);
    expect(await check({ companions: { root: other.der, crl } })).toEqual(['issuer_mismatch']);
  });

  test('is refused when it has ended itself, and when a companion is missing', async () => {
    const crl = await issueCrl({ issuer: root, until: new Date('2050-01-01T00:00:00Z') });
    expect(await check({ companions: { root: root.der, crl }, now: new Date('2045-01-01T00:00:00Z') })).toEqual(['certificate_expired']);
    expect(await check({ companions: { root: root.der } })).toEqual(['malformed']);
    expect(await check({ companions: { crl } })).toEqual(['malformed']);
  });
});
