/** AWS Nitro documents: real ones, our own, and what an attacker makes of them. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ExaminationInputs, PinnedRoot } from '../../src/attestation/examination.ts';
import { examineNitroDocument } from '../../src/attestation/nitro/examine.ts';
import { acceptsNoFlippedBit, hostileBytes } from './damaged-evidence.ts';
import {
  array,
  bstr,
  type DocumentWishes,
  endlessMap,
  makeDocument,
  map,
  membersOf,
  NITRO_NOW,
  NULL,
  pcr,
  startEnclave,
  tstr,
  uint,
} from './nitro-enclave.ts';
import { agreesOnEverySharedEntry } from './shared-evidence.ts';
import { issue } from './test-ca.ts';
import { TwinsMemo } from './twins-memo.ts';

agreesOnEverySharedEntry('nitro-cose-sign1', examineNitroDocument);

const enclave = await startEnclave();
const pinned = (certificate: Uint8Array): PinnedRoot => ({ name: 'aws-nitro-enclaves-root-g1', vendor: 'aws', certificate });
const roots = [pinned(enclave.bundle[0]?.der ?? new Uint8Array(0))];
const inputs = (evidence: Uint8Array, change: Partial<ExaminationInputs> = {}): ExaminationInputs => ({
  evidence,
  companions: {},
  parameters: {},
  roots,
  now: NITRO_NOW,
  ...change,
});
const reasonsOf = (evidence: Uint8Array, change: Partial<ExaminationInputs> = {}) => examineNitroDocument(inputs(evidence, change)).reasons;
const wordsFor = async (wishes: DocumentWishes) => reasonsOf(await makeDocument(enclave, wishes));
const withMembers = (change: Parameters<typeof membersOf>[1]) => wordsFor({ payload: map(...membersOf(enclave, change)) });

describe('a document of our own enclave', () => {
  test('is authentic and acceptable, with every value read', async () => {
    const { valid, accept, reasons, claims } = examineNitroDocument(inputs(await makeDocument(enclave)));
    expect({ valid, accept, reasons }).toEqual({ valid: true, accept: true, reasons: [] });
    expect(claims).toMatchObject({
      module_id: 'i-0123456789-enc01',
      timestamp: '2026-01-15T10:30:00Z',
      measurement: '01'.repeat(48),
      user_data: Buffer.from('hello').toString('hex'),
      public_key: null,
      debug: false,
      cabundle_certificates: 4,
      leaf_valid_from: '2026-01-15T10:00:00Z',
      leaf_valid_until: '2026-01-15T13:00:00Z',
    });
    expect(Object.keys(claims['pcrs'] as object)).toEqual(['0', '1', '2', '3', '4', '16']);
  });

  test('may have an indefinite-length payload map, and a tag 18 in front', async () => {
    const endless = await makeDocument(enclave, { payload: endlessMap(...membersOf(enclave)) });
    const tagged = new Uint8Array([0xd2, ...endless]);
    expect(examineNitroDocument(inputs(tagged))).toMatchObject({
      accept: true,
      claims: { cose_tag: true, payload_map: 'indefinite length (0xbf)' },
    });
  });

  test('of which s became n - s is the same statement in other bytes', async () => {
    const order = BigInt('0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973');
    const twin = (honest: Buffer) => {
      const s = order - BigInt(`0x${honest.subarray(48).toString('hex')}`);
      return Buffer.concat([honest.subarray(0, 48), Buffer.from(s.toString(16).padStart(96, '0'), 'hex')]);
    };
    expect(await wordsFor({ signature: twin })).toEqual([]);
  });

  test('is expired or not yet valid by the second', async () => {
    const evidence = await makeDocument(enclave);
    const at = (time: string) => reasonsOf(evidence, { now: new Date(time) });
    expect(at('2026-01-15T10:00:00Z')).toEqual([]);
    expect(at('2026-01-15T13:00:00Z')).toEqual([]);
    expect(at('2026-01-15T09:59:59Z')).toEqual(['certificate_not_yet_valid']);
    expect(at('2026-01-15T13:00:01Z')).toEqual(['certificate_expired']);
  });

  test('of a debug enclave is authentic, and refused', async () => {
    const zeros = [0, 1, 2].map((index) => [uint(index), bstr(pcr(0))] as const);
    const evidence = await makeDocument(enclave, { payload: map(...membersOf(enclave, { pcrs: map(...zeros) })) });
    const refused = { valid: true, accept: false, reasons: ['debug_enabled'] };
    expect(examineNitroDocument(inputs(evidence))).toMatchObject({ ...refused, claims: { debug: true } });
    const oneZero = map([uint(0), bstr(pcr(0))], [uint(1), bstr(pcr(1))], [uint(2), bstr(pcr(2))]);
    const unmeasured = await makeDocument(enclave, { payload: map(...membersOf(enclave, { pcrs: oneZero })) });
    expect(examineNitroDocument(inputs(unmeasured))).toMatchObject({ ...refused, claims: { debug: false } });
  });

  test('must carry the nonce that was sent, where one was', async () => {
    const evidence = await makeDocument(enclave);
    const asked = (expected_nonce: unknown) => reasonsOf(evidence, { parameters: { expected_nonce } });
    for (const fine of ['07'.repeat(32), undefined, null]) expect(asked(fine)).toEqual([]);
    for (const wrong of ['07'.repeat(31), '', 7, ['07'], '08'.repeat(32)]) expect(asked(wrong)).toEqual(['nonce_mismatch']);
    const silent = await makeDocument(enclave, { payload: map(...membersOf(enclave, { nonce: NULL })) });
    expect(reasonsOf(silent, { parameters: { expected_nonce: '' } })).toEqual(['nonce_mismatch']);
  });
});

describe('a chain that is not the vendor’s', () => {
  test('is refused whatever its root is called', async () => {
    const evidence = await makeDocument(enclave);
    const lookalike = await issue({ name: 'aws.nitro-enclaves', curve: 'P-384', hash: 'SHA-384' });
    expect(reasonsOf(evidence, { roots: [pinned(lookalike.der)] })).toEqual(['untrusted_root']);
    expect(reasonsOf(evidence, { roots: [] })).toEqual(['untrusted_root']);
    const otherVendor = roots.map((root) => ({ ...root, vendor: 'nvidia' as const }));
    expect(reasonsOf(evidence, { roots: otherVendor })).toEqual(['untrusted_root']);
  });

  test('is refused without the root, with a gap, out of order, or empty', async () => {
    const bundle = enclave.bundle.map(({ der }) => bstr(der));
    const [root = NULL, region = NULL, zone = NULL, instance = NULL] = bundle;
    expect(await withMembers({ cabundle: array(region, zone, instance) })).toEqual(['chain_incomplete', 'untrusted_root']);
    expect(await withMembers({ cabundle: array(root, region, instance) })).toEqual(['chain_incomplete']);
    expect(await withMembers({ cabundle: array(instance, zone, region, root) })).toEqual(['chain_incomplete', 'untrusted_root']);
    for (const nothing of [array(), NULL, undefined]) expect(await withMembers({ cabundle: nothing })).toEqual(['missing_cabundle']);
  });

  test('is refused when a certificate in it is none, or not exactly one', async () => {
    const der = enclave.leaf.der;
    const pem = Buffer.from(`-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`);
    expect(await withMembers({ certificate: bstr(Buffer.concat([der, Buffer.of(0)])) })).toEqual([
      'certificate_malformed',
      'cose_signature_invalid',
    ]);
    expect(await withMembers({ cabundle: array(bstr(pem)) })).toEqual(['certificate_malformed']);
    expect(await withMembers({ cabundle: array(bstr(Buffer.of())) })).toEqual(['certificate_malformed']);
    expect(await withMembers({ certificate: bstr(Buffer.of()) })).toEqual(['certificate_malformed', 'cose_signature_invalid']);
    expect(await withMembers({ certificate: bstr(Buffer.alloc(1025, 0x30)) })).toEqual(['malformed', 'cose_signature_invalid']);
  });

  test('is refused when the signer’s key is of another curve', async () => {
    const other = await startEnclave('P-256');
    const evidence = await makeDocument(other, { signature: (honest) => Buffer.concat([Buffer.alloc(16), honest, Buffer.alloc(16)]) });
    expect(reasonsOf(evidence, { roots: [pinned(other.bundle[0]?.der ?? new Uint8Array(0))] })).toEqual(['cose_signature_invalid']);
  });
});

describe('COSE and CBOR', () => {
  /** What cannot be read is signed by nobody. */
  const UNREADABLE = ['malformed', 'cose_signature_invalid'];
  const hex = (text: string) => Buffer.from(text, 'hex');

  test('an algorithm other than ES384, none, or one that is not signed is malformed', async () => {
    const wrong: readonly DocumentWishes[] = [
      { protectedHeader: hex('a10126') }, // ES256
      { protectedHeader: hex('a1013823') }, // ES512
      { protectedHeader: hex('a0') },
      { protectedHeader: Buffer.alloc(0) },
      { protectedHeader: Buffer.alloc(0), unprotected: hex('a1013822') },
      { unprotected: hex('a1013822') },
      { protectedHeader: hex('a2013822013822') },
      { protectedHeader: hex('bf013822ff') },
      { protectedHeader: hex('a1013822ff') },
    ];
    for (const wishes of wrong) expect(await wordsFor(wishes)).toEqual(['malformed']);
  });

  test('a signature of zeros, of another length or encoded as DER is none', async () => {
    const zero = Buffer.alloc(48);
    for (const signature of [
      (honest: Buffer) => Buffer.concat([zero, honest.subarray(48)]),
      (honest: Buffer) => Buffer.concat([honest.subarray(0, 48), zero]),
      () => Buffer.alloc(96, 0xff),
    ]) {
      expect(await wordsFor({ signature })).toEqual(['cose_signature_invalid']);
    }
    const der = (honest: Buffer) =>
      Buffer.concat([hex('30660231'), Buffer.of(0), honest.subarray(0, 48), hex('0231'), Buffer.of(0), honest.subarray(48)]);
    for (const signature of [der, (honest: Buffer) => honest.subarray(1), (honest: Buffer) => Buffer.concat([honest, Buffer.of(0)])]) {
      expect(await wordsFor({ signature })).toEqual(['malformed', 'cose_signature_invalid']);
    }
  });

  test('bytes behind the document are counted and refused, zeros too', async () => {
    const evidence = await makeDocument(enclave);
    for (const tail of [[0], [0xff, 0xff, 0xff]]) {
      const examined = examineNitroDocument(inputs(new Uint8Array([...evidence, ...tail])));
      expect(examined).toMatchObject({ valid: false, reasons: ['trailing_bytes'], claims: { trailing_bytes: tail.length } });
    }
  });

  test('a member twice is malformed, in the payload and among the PCRs', async () => {
    const members = membersOf(enclave);
    const twice = [...members, ...members.slice(0, 1)];
    const pcrs = [0, 1, 2, 2].map((index) => [uint(index), bstr(pcr(9))] as const);
    for (const payload of [map(...twice), endlessMap(...twice), map(...membersOf(enclave, { pcrs: map(...pcrs) }))]) {
      expect(await wordsFor({ payload })).toEqual(UNREADABLE);
    }
  });

  test('only the payload map itself may be of indefinite length, and all else has its shortest form', async () => {
    const pcrs = endlessMap(...[0, 1, 2].map((index) => [uint(index), bstr(pcr(9))] as const));
    const chunked = Buffer.concat([hex('5f'), bstr(Buffer.from('a')), hex('ff')]);
    for (const change of [
      { pcrs },
      { user_data: chunked },
      { user_data: hex('580161') },
      { nonce: hex('c24161') },
      { nonce: hex('f97e00') },
    ]) {
      expect(await withMembers(change)).toContain('malformed');
      expect(await wordsFor({ payload: endlessMap(...membersOf(enclave, change)) })).toContain('malformed');
    }
    const evidence = Buffer.from(await makeDocument(enclave));
    for (const outer of ['9804', 'd8128 4'.replace(' ', ''), 'd2d284', 'd9d9f784', 'd86284', '85']) {
      expect(reasonsOf(new Uint8Array(Buffer.concat([hex(outer), evidence.subarray(1)])))).toEqual(UNREADABLE);
    }
    expect(reasonsOf(new Uint8Array(Buffer.concat([hex('9f'), evidence.subarray(1), hex('ff')])))).toEqual(UNREADABLE);
  });

  test('a payload map that does not add up is malformed', async () => {
    const honest = map(...membersOf(enclave));
    const counted = (first: number) => Buffer.concat([Buffer.of(first), honest.subarray(1)]);
    for (const payload of [
      counted(0xa8),
      counted(0xaa),
      counted(0xbf),
      Buffer.alloc(0),
      hex('a0ff'),
      hex('bfff00'),
      tstr('no map'),
      hex('b801f6f6'),
    ]) {
      expect(await wordsFor({ payload })).toContain('malformed');
    }
  });

  test('every member has its type and its bounds', async () => {
    const wrong: ReadonlyArray<Record<string, Buffer | undefined>> = [
      { module_id: tstr('') },
      { module_id: undefined },
      { digest: tstr('SHA256') },
      { digest: undefined },
      { timestamp: uint(0) },
      { timestamp: tstr('now') },
      { timestamp: hex('1bffffffffffffffff') },
      { pcrs: undefined },
      { pcrs: map([uint(0), bstr(pcr(1))], [uint(1), bstr(pcr(1))]) },
      { pcrs: map([uint(0), bstr(pcr(1))], [uint(1), bstr(pcr(1))], [uint(2), bstr(pcr(1))], [uint(32), bstr(pcr(1))]) },
      { pcrs: map([uint(0), bstr(pcr(1))], [uint(1), bstr(pcr(1))], [uint(2), bstr(Buffer.alloc(32, 1))]) },
      { pcrs: map([tstr('0'), bstr(pcr(1))]) },
      { cabundle: tstr('') },
      { cabundle: array(...Array.from({ length: 9 }, () => bstr(Buffer.of(0x30)))) },
      { user_data: bstr(Buffer.alloc(1025)) },
      { nonce: bstr(Buffer.alloc(1025)) },
      { public_key: tstr('key') },
    ];
    for (const change of wrong) expect(await withMembers(change)).toEqual(['malformed']);
    expect(await withMembers({ certificate: NULL })).toEqual(['malformed', 'cose_signature_invalid']);
    const full = bstr(Buffer.alloc(1024, 1));
    expect(await withMembers({ user_data: full, nonce: full, public_key: full })).toEqual([]);
    expect(await withMembers({ added_next_year: tstr('signed, and of no concern here') })).toEqual([]);
  });

  test('a document that is too large is refused before it is read', () => {
    expect(reasonsOf(new Uint8Array(1 << 20))).toEqual(UNREADABLE);
    expect(reasonsOf(new Uint8Array(0))).toEqual(UNREADABLE);
  });
});

describe('damage', () => {
  test('no flipped bit of our own document is accepted', async () => {
    const memo = new TwinsMemo();
    await acceptsNoFlippedBit(await makeDocument(enclave), 1, (evidence) => examineNitroDocument(inputs(evidence), memo), 3);
  });

  test('any bytes get an answer and never an exception', async () => {
    const honest = await makeDocument(enclave);
    const run = (evidence: Uint8Array) => examineNitroDocument(inputs(evidence)).accept;
    fc.assert(
      fc.property(hostileBytes(honest), (evidence) => {
        expect(run(evidence)).toBe(Buffer.compare(evidence, honest) === 0);
      }),
      { numRuns: 400 },
    );
  });
});
