/** Evidence and companions that are made to cost: huge, deep, many, slow to verify. By the names that manifests use. */
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import type { ExaminationInputs } from '../../src/attestation/examination.ts';
import { concat } from '../../src/domain/bytes.ts';
import { issueCrl } from './crl-maker.ts';
import { event, latin, opening, specId } from './log-maker.ts';
import { array, bstr, endlessMap, head, tstr, uint } from './nitro-enclave.ts';
import { rimAuthority, rimText, signRim } from './nvidia-device.ts';
import { pemOf } from './snp-maker.ts';
import { makeBundle, makeIntelWorld, makePck, makeQuote, NOW, qeIdentity, tcbInfo } from './tdx-maker.ts';
import { ca, certSign, type Issued, issue } from './test-ca.ts';

export interface HostileInput {
  readonly format: string;
  readonly name: string;
  readonly inputs: ExaminationInputs;
}

/** As much as `wv evidence check` hands over of one file, and as much as a request has room for. */
const [FILE_BYTES, BODY_BYTES] = [4_194_304, 262_144];

const COMPANIONS: Readonly<Record<string, readonly string[]>> = {
  'snp-report': ['endorsement_key_certificate', 'issuer_chain', 'crl'],
  'tdx-quote': ['collateral', 'event_log'],
  'nitro-cose-sign1': [],
  'nvidia-spdm': ['chain'],
  'nvidia-rim-xml': [],
  'x509-crl': ['issuer_chain'],
  'x509-crl-check': ['root', 'crl'],
  'tpm2-quote': ['signature', 'ak_public_key', 'ak_public_tpmt', 'pcrs', 'eventlog', 'ak_certificate', 'ak_chain', 'ak_crl', 'hcl_report'],
  'jwt-eat': ['key', 'jwks', 'trust'],
  'jwk-x5c-trust': ['trust'],
  'tcg2-eventlog': [],
};

const text = (value: string) => new Uint8Array(Buffer.from(value, 'latin1'));
const fill = (part: Uint8Array | string, bytes: number) => new Uint8Array(Buffer.alloc(bytes, part));

/** Of no format in particular, each a trap for some parser. */
function traps(bytes: number): Readonly<Record<string, Uint8Array>> {
  return {
    zeros: fill(Uint8Array.of(0), bytes),
    'all ones': fill(Uint8Array.of(0xff), bytes),
    'nested DER': fill(Uint8Array.of(0x30, 0x83, 0x03, 0xff, 0xf0), bytes),
    'DER without end': fill(Uint8Array.of(0x30, 0x80), bytes),
    'nested CBOR': fill(Uint8Array.of(0x81), bytes),
    'CBOR that claims 2^32 items': concat(Uint8Array.of(0xd2, 0x84, 0x9a, 0xff, 0xff, 0xff, 0xff), fill(Uint8Array.of(0), bytes - 7)),
    'nested JSON lists': fill('[', bytes),
    'nested JSON objects': fill('{"a":', bytes),
    'nested XML': fill('<a>', bytes),
    'one XML element of many attributes': text(`<a ${'b="" '.repeat(bytes / 5)}/>`),
    'PEM without end': fill('-----BEGIN CERTIFICATE-----\nAAAA\n', bytes),
    'a line of base64': fill('QUJD', bytes),
    'a token of dots': fill('.', bytes),
    'a token of long parts': text(`${'e'.repeat(bytes / 3)}.${'e'.repeat(bytes / 3)}.${'e'.repeat(bytes / 3)}`),
    'a JSON object of many members': text(`{${Array.from({ length: bytes / 16 }, (_, at) => `"m${at}":0`).join()}}`),
  };
}

/** Those of them that cost where a file is taken for text. */
const LONG_COMPANIONS = ['all ones', 'PEM without end', 'nested JSON objects', 'a line of base64'];

export async function hostileInputs(): Promise<readonly HostileInput[]> {
  const [large, small] = [Object.entries(traps(FILE_BYTES)), Object.entries(traps(BODY_BYTES))];
  const readable = await readableEvidence();
  const beside = (format: string, companion: string, trap: Uint8Array) =>
    inputsOf(readable[format] ?? new Uint8Array(1), { [companion]: trap });
  const everywhere = Object.entries(COMPANIONS).flatMap(([format, companions]) => [
    ...large.map(([name, trap]) => ({ format, name: `${name}, of the size of a file`, inputs: inputsOf(trap) })),
    ...small.map(([name, trap]) => ({ format, name: `${name}, as evidence`, inputs: inputsOf(trap) })),
    ...companions.flatMap((companion) => [
      ...small.map(([name, trap]) => ({ format, name: `${name}, as ${companion}`, inputs: beside(format, companion, trap) })),
      ...large
        .filter(([name]) => LONG_COMPANIONS.includes(name))
        .map(([name, trap]) => ({
          format,
          name: `${name}, as ${companion} of the size of a file`,
          inputs: beside(format, companion, trap),
        })),
    ]),
  ]);
  return [...everywhere, ...(await chains()), ...(await lists()), ...(await tdx()), ...logs(), nitro(), ...(await rims()), token()];
}

/** Where nothing is asked about companions when the evidence itself cannot be read. */
async function readableEvidence(): Promise<Readonly<Record<string, Uint8Array>>> {
  const world = await makeIntelWorld();
  return { 'snp-report': new Uint8Array(1184), 'tdx-quote': makeQuote(world, await makePck(world)) };
}

function inputsOf(evidence: Uint8Array, companions: ExaminationInputs['companions'] = {}, roots: ExaminationInputs['roots'] = []) {
  return { evidence, companions, parameters: {}, roots, now: NOW };
}

/** Certificates that all issue each other, with keys that are slow to verify with: every way through them is a way to try. */
async function tangle(curve: 'P-384' | 'P-521'): Promise<readonly Issued[]> {
  const first = await issue({ name: 'x', curve, hash: 'SHA-384' });
  const again = () =>
    issue({ name: 'x', curve, hash: 'SHA-384', issuer: first, publicKey: first.keys.publicKey, extensions: [ca(), certSign] });
  return [first, ...(await Promise.all(Array.from({ length: 19 }, again)))];
}

/** As large as the library lets an exponent be. */
function slowRsa() {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 3072 });
  const { n = '' } = publicKey.export({ format: 'jwk' });
  return createPublicKey({ format: 'jwk', key: { kty: 'RSA', n, e: `f${n.slice(1)}` } });
}

async function chains(): Promise<readonly HostileInput[]> {
  const tangled = (await Promise.all((['P-384', 'P-521'] as const).map(tangle))).map((ones) => ones.map(({ der }) => der));
  const slow = slowRsa().export({ type: 'spki', format: 'der' });
  const slowJwk = JSON.stringify(slowRsa().export({ format: 'jwk' }));
  return tangled.flatMap((all, at): HostileInput[] => {
    const some = (count: number) => pemOf(all.slice(0, count));
    const [one = new Uint8Array(0)] = all;
    const header = (x5c: readonly Uint8Array[]) =>
      Buffer.from(JSON.stringify({ alg: 'ES384', x5c: x5c.map((der) => Buffer.from(der).toString('base64')) })).toString('base64url');
    const claims = Buffer.from(JSON.stringify({ iss: 'https://confidentialcomputing.googleapis.com' })).toString('base64url');
    const name = (count: number) => `${count} certificates that issue each other (${at === 0 ? 'P-384' : 'P-521'})`;
    return [6, 20].flatMap((count): HostileInput[] => [
      {
        format: 'snp-report',
        name: name(count),
        inputs: inputsOf(fill(Uint8Array.of(2), 1184), { endorsement_key_certificate: one, issuer_chain: some(count) }),
      },
      { format: 'nvidia-spdm', name: name(count), inputs: inputsOf(fill(Uint8Array.of(1), 4000), { chain: some(count) }) },
      { format: 'x509-crl-check', name: name(count), inputs: inputsOf(one, { root: some(count) }) },
      { format: 'tpm2-quote', name: name(count), inputs: inputsOf(text('\xffTCG'), { ak_certificate: one, ak_chain: some(count) }) },
      {
        format: 'tpm2-quote',
        name: 'an RSA key with a long exponent',
        inputs: inputsOf(text('\xffTCG'), { ak_public_key: new Uint8Array(slow) }),
      },
      { format: 'jwt-eat', name: name(count), inputs: inputsOf(text(`${header(all.slice(0, count))}.${claims}.${'A'.repeat(128)}`)) },
      {
        format: 'jwt-eat',
        name: 'an RSA key with a long exponent',
        inputs: inputsOf(text(`eyJhbGciOiJSUzI1NiJ9.${claims}.${'A'.repeat(512)}`), { key: text(slowJwk) }),
      },
      {
        format: 'jwk-x5c-trust',
        name: name(count),
        inputs: inputsOf(text(JSON.stringify({ kty: 'RSA', x5c: all.slice(0, count).map((der) => Buffer.from(der).toString('base64')) })), {
          trust: some(count),
        }),
      },
    ]);
  });
}

async function lists(): Promise<readonly HostileInput[]> {
  const root = await issue({ name: 'root', extensions: [ca()] });
  const revoked = Array.from({ length: 3900 }, (_, at) => at.toString(16).padStart(6, '0').padStart(8, '7f'));
  const crl = await issueCrl({ issuer: root, revoked });
  const roots = [{ name: 'root', vendor: 'amd' as const, certificate: root.der }];
  return [
    { format: 'x509-crl', name: 'a list with 3900 entries', inputs: inputsOf(crl, {}, roots) },
    { format: 'x509-crl-check', name: 'a list with 3900 entries', inputs: inputsOf(root.der, { root: root.der, crl }) },
    { format: 'snp-report', name: 'a list with 3900 entries', inputs: inputsOf(fill(Uint8Array.of(2), 1184), { crl }, roots) },
  ];
}

async function tdx(): Promise<readonly HostileInput[]> {
  const world = await makeIntelWorld();
  const quote = makeQuote(world, await makePck(world));
  const roots = [{ name: 'intel-sgx-root-ca', vendor: 'intel' as const, certificate: world.root.der }];
  const levels = <T>({ tcbLevels }: { tcbLevels: readonly T[] }, count: number) => ({
    tcbLevels: Array.from({ length: count }, () => tcbLevels[0]),
  });
  const many = await makeBundle(world, { info: levels(tcbInfo(), 256), identity: levels(qeIdentity(), 256) } as Parameters<
    typeof makeBundle
  >[1]);
  const bundle = JSON.parse(Buffer.from(many).toString('utf8')) as Record<string, string>;
  const crl = Buffer.from(
    await issueCrl({ issuer: world.root, revoked: Array.from({ length: 2000 }, (_, at) => (at + 0x7f0000).toString(16)) }),
  ).toString('hex');
  const json = (change: object) => text(JSON.stringify({ ...bundle, ...change }));
  const collaterals: Record<string, Uint8Array> = {
    'collateral of 256 levels': many,
    'collateral whose lists have 2000 entries': json({ root_ca_crl: crl, pck_crl: crl }),
    'TCB information of 512 KiB of nested lists': json({ tcb_info: '['.repeat(524_288) }),
    'a member that is not known, of 900 KiB': json({ more: '['.repeat(900_000) }),
  };
  return [
    ...Object.entries(collaterals).map(([name, collateral]) => ({
      format: 'tdx-quote',
      name,
      inputs: inputsOf(quote, { collateral }, roots),
    })),
    { format: 'tdx-quote', name: 'an event log of 2048 events', inputs: inputsOf(quote, { event_log: longLog() }, roots) },
  ];
}

function longLog(): Uint8Array {
  const one = event(['sha1', 'sha256', 'sha384'], { register: 1, type: 13, data: latin('x'.repeat(64)) });
  return concat(opening(specId(['sha1', 'sha256', 'sha384'])), ...Array.from({ length: 2048 }, () => one));
}

function logs(): readonly HostileInput[] {
  const claims = concat(opening(specId(['sha256'])), Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff));
  return [
    { format: 'tcg2-eventlog', name: '2048 events', inputs: inputsOf(longLog()) },
    { format: 'tcg2-eventlog', name: 'an event that claims 2^32 digests', inputs: inputsOf(claims) },
    { format: 'tpm2-quote', name: 'a log of 2048 events', inputs: inputsOf(text('\xffTCG'), { eventlog: longLog() }) },
  ];
}

function nitro(): HostileInput {
  const members = Array.from({ length: 1500 }, (_, at): [Buffer, Buffer] => [tstr(`m${at}`), uint(at)]);
  const payload = endlessMap(...members);
  const document = concat(
    head(6, 18),
    array(bstr(Uint8Array.of(0xa1, 0x01, 0x38, 0x22)), Uint8Array.of(0xa0), bstr(payload), bstr(new Uint8Array(96))),
  );
  return { format: 'nitro-cose-sign1', name: 'a document of 1500 members', inputs: inputsOf(document) };
}

async function rims(): Promise<readonly HostileInput[]> {
  const entries = Array.from({ length: 250 }, (_, index) => ({ index, values: Array.from({ length: 16 }, () => 'ab'.repeat(48)) }));
  const xml = rimText(entries);
  const signed = await signRim(xml, await rimAuthority());
  return [
    { format: 'nvidia-rim-xml', name: '250 measurements with 16 alternatives each', inputs: inputsOf(text(xml)) },
    { format: 'nvidia-rim-xml', name: 'the same, signed by a stranger', inputs: inputsOf(text(signed)) },
  ];
}

function token(): HostileInput {
  const part = (json: string) => Buffer.from(json).toString('base64url');
  const nested = `{"alg":"ES256","a":${'['.repeat(8000)}${']'.repeat(8000)}}`;
  return { format: 'jwt-eat', name: 'a header of nested lists', inputs: inputsOf(text(`${part(nested)}.${part(nested)}.AAAA`)) };
}
