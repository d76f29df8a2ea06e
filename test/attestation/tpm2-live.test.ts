/** The whole way with real TPMs in software: enrol, prove, attest, verify. Skipped visibly where swtpm or tpm2-tools are missing. */
import { webcrypto, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createTpm2Attester } from '../../src/attestation/tpm2/attester.ts';
import { beginActivation, type EnrolmentRequest, parseEnrolmentRequest } from '../../src/attestation/tpm2/enrolment.ts';
import { type PublicArea, parsePublicArea } from '../../src/attestation/tpm2/public-area.ts';
import { createTpm2Verifier } from '../../src/attestation/tpm2/verifier.ts';
import { concat, fromBase64, sha256, toBase64, toHex } from '../../src/domain/bytes.ts';
import { type EnrolledTpm2, isRefusal, type TrustAnchor, tpm2AttesterKey } from '../../src/domain/evidence.ts';
import type { Digest, Namespace, SubjectId } from '../../src/domain/ids.ts';
import { type Swtpm, startSwtpm } from '../harness/swtpm.ts';
import { makeTdHcl } from './azure-maker.ts';
import { latin, log } from './log-maker.ts';
import { reportChecks } from './report-checks.ts';
import { pemOf } from './snp-maker.ts';
import { FMSPC, makeBundle, makeIntelWorld, makePck, NOW as TDX_NOW } from './tdx-maker.ts';
import { issue, notCa, usage } from './test-ca.ts';
import { keeping, workloadContext } from './workload-context.ts';

const missing = ['swtpm', 'swtpm_setup', 'tpm2_quote'].filter(
  (tool) => !(process.env['PATH'] ?? '').split(':').some((dir) => existsSync(join(dir, tool))),
);
const namespace = 'lab' as Namespace;
const binding = sha256(new Uint8Array(1));

if (missing.length > 0) {
  test.skip(`live TPM tests: ${missing.join(', ')} not on this machine`, () => undefined);
} else {
  let tpm: Swtpm;
  let home: string;

  beforeAll(async () => {
    tpm = await startSwtpm();
    home = await mkdtemp(join(tmpdir(), 'wv-attester-'));
  });
  afterAll(async () => {
    await tpm?.stop();
    if (home !== undefined) await rm(home, { recursive: true, force: true });
  });

  const attester = (state: string, akAlgorithm: 'ecc' | 'rsa' = 'ecc', on = tpm) =>
    createTpm2Attester({ tcti: on.tcti, stateFolder: join(home, state), pcrs: { sha256: [0, 7, 16] }, akAlgorithm });

  describe.each(['ecc', 'rsa'] as const)('a TPM with an %s attestation key', (algorithm) => {
    test('enrols, activates, attests and is verified', async () => {
      const machine = attester(algorithm, algorithm);
      await machine.prepare();
      const { activation } = await enrol(machine, tpm);
      using answer = await machine.activate(activation.credential);
      expect(answer.equals(activation.secret)).toBe(true);
      const claims = await verify(await machine.attest(binding), activation.akName);
      if (isRefusal(claims)) throw new Error(claims.detail);
      expect(claims.pcrs).toEqual(await machine.readPcrs());
    });

    test('keeps its key over a restart of the process and of the TPM', async () => {
      const before = await attester(algorithm, algorithm).attest(binding);
      await tpm.reboot();
      const after = attester(algorithm, algorithm);
      await after.prepare();
      expect((await after.attest(binding)).akPublic).toBe(before.akPublic);
    });
  });

  test('its folder may be named as in a shell, from where one stands', async () => {
    const stateFolder = relative(process.cwd(), join(home, 'near'));
    const machine = createTpm2Attester({ tcti: tpm.tcti, stateFolder, pcrs: { sha256: [16] }, akAlgorithm: 'ecc' });
    await machine.prepare();
    expect((await readdir(join(home, 'near', 'ak'))).toSorted()).toEqual(['private', 'public']);
    const { activation } = await enrol(machine, tpm);
    using answer = await machine.activate(activation.credential);
    expect(answer.equals(activation.secret)).toBe(true);
  });

  test('a boot log goes along and is compared with what the TPM holds', async () => {
    const file = join(home, 'boot.log');
    const machine = createTpm2Attester({
      tcti: tpm.tcti,
      stateFolder: join(home, 'logged'),
      pcrs: { sha256: [16] },
      akAlgorithm: 'ecc',
      eventLogFile: file,
    });
    await machine.prepare();
    const { activation } = await enrol(machine, tpm);
    const measured = { register: 16, type: 4, data: latin('measured') };
    await tpm.tool('tpm2_pcrreset', '16');
    await tpm.tool('tpm2_pcrextend', `16:sha256=${toHex(sha256(measured.data))}`);
    await writeFile(file, log(['sha256'], measured));
    expect(await verify(await machine.attest(binding), activation.akName)).toMatchObject({ facts: { logBank: 'sha256' } });
    await writeFile(file, log(['sha256'], measured, measured));
    expect(await verify(await machine.attest(binding), activation.akName)).toMatchObject({ code: 'evidence_signature_invalid' });
    await writeFile(file, new Uint8Array(131_073));
    await expect(machine.attest(binding)).rejects.toThrow('longer than');
  });

  test('a key that its cloud put there and certified quotes without being activated', async () => {
    const [handle, index] = ['0x81000003', '0x1c101d0'];
    const file = (name: string) => join(home, name);
    const attributes = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign';
    await tpm.tool('tpm2_createprimary', '-Q', '-C', 'e', '-G', 'ecc:ecdsa-sha256:null', '-a', attributes, '-c', file('cloud.ctx'));
    await tpm.tool('tpm2_evictcontrol', '-Q', '-C', 'o', '-c', file('cloud.ctx'), handle);
    await tpm.tool('tpm2_flushcontext', '-t');
    await tpm.tool('tpm2_readpublic', '-Q', '-c', handle, '-f', 'tss', '-o', file('cloud.pub'));
    const ak = parsePublicArea(await readFile(file('cloud.pub')));
    const root = await issue({ name: 'cloud root' });
    const between = await issue({ name: 'cloud tpm ca', issuer: root });
    const spki = ak.key.export({ type: 'spki', format: 'der' });
    const publicKey = await webcrypto.subtle.importKey('spki', spki, { name: 'ECDSA', namedCurve: 'P-256' }, true, ['verify']);
    const leaf = await issue({ name: 'vm', issuer: between, publicKey, extensions: [notCa, usage('2.23.133.8.3')] });
    await writeFile(file('leaf.der'), leaf.der);
    await writeFile(file('issuers.pem'), pemOf([between.der]));
    await tpm.tool('tpm2_nvdefine', '-Q', '-C', 'o', '-s', String(leaf.der.length), '-a', 'ownerread|ownerwrite', index);
    await tpm.tool('tpm2_nvwrite', '-Q', '-C', 'o', index, '-i', file('leaf.der'));
    const machine = createTpm2Attester({
      tcti: tpm.tcti,
      stateFolder: file('cloud'),
      pcrs: { sha256: [0, 7] },
      akAlgorithm: 'ecc',
      cloudKey: { handle, certificate: index, issuersFile: file('issuers.pem') },
    });
    await machine.prepare();
    await expect(machine.enrolmentRequest([])).rejects.toThrow(`akName=${ak.name}`);
    const anchors: readonly TrustAnchor[] = [{ kind: 'tpm2', name: 'cloud', certificate: toBase64(root.der), use: 'attestation-keys' }];
    const wanted = { kind: 'tpm2' as const, identity: { fact: 'akName', value: ak.name }, anchors, collateral: keeping({}) };
    const context = { ...workloadContext({ ...wanted, now: new Date() }), binding };
    const claims = await createTpm2Verifier(reportChecks()).verify(await machine.attest(binding), context);
    expect(claims).toMatchObject({ attester: { name: 'guest-1' }, facts: { akTrust: 'certificate' } });
    await vouchedByTdxGuest({ tpm, home, handle, ak });
  });

  test('an ECC P-384 endorsement key (SHA-384, AES-256) opens the credentials made for it', async () => {
    const file = (name: string) => join(home, name);
    const ak = ['-C', '0x81010001', '-G', 'ecc', '-c', file('p.ctx'), '-u', file('p.pub'), '-f', 'tss', '-r', file('p.priv')];
    await tpm.tool('tpm2_createak', '-Q', ...ak);
    await tpm.tool('tpm2_flushcontext', '-t');
    await tpm.tool('tpm2_readpublic', '-Q', '-c', '0x81010016', '-f', 'tss', '-o', file('ek.pub'));
    await tpm.tool('tpm2_nvread', '-Q', '0x1c00016', '-o', file('ek.der'));
    const [ekPublic, ekCertificate, akPublic] = await Promise.all(
      ['ek.pub', 'ek.der', 'p.pub'].map(async (name) => toBase64(await readFile(file(name)))),
    );
    const intermediates = [toBase64(await der(tpm.issuerCertificate))];
    const request = parseEnrolmentRequest({ v: 1, kind: 'tpm2', ekCertificate, ekIntermediates: intermediates, ekPublic, akPublic });
    const activation = beginActivation(request, { anchors: [await anchorOf(tpm)], now: new Date() });
    if (isRefusal(activation)) throw new Error(activation.detail);
    const { idObject, secret } = activation.credential;
    await writeFile(file('cred'), concat(Buffer.from('badcc0de00000001', 'hex'), fromBase64(idObject), fromBase64(secret)));
    await tpm.tool('tpm2_activatecredential', '-Q', '-c', file('p.ctx'), '-C', '0x81010016', '-i', file('cred'), '-o', file('opened'));
    await tpm.tool('tpm2_flushcontext', '-t');
    expect(toHex(await readFile(file('opened')))).toBe(activation.secret.expose(toHex));
  });

  describe('a machine that is not the one', () => {
    test('cannot open a credential made for another TPM, nor for another key of its own', async () => {
      const [mine, other] = [attester('ecc'), attester('another-key')];
      await other.prepare();
      const { activation } = await enrol(mine, tpm);
      await expect(other.activate(activation.credential)).rejects.toThrow('tpm2_activatecredential failed');

      const elsewhere = await startSwtpm();
      try {
        const stranger = attester('stranger', 'ecc', elsewhere);
        await stranger.prepare();
        await expect(stranger.activate(activation.credential)).rejects.toThrow('tpm2_activatecredential failed');
        // Its chain is perfect, of the same subjects, and leads to a root that is not ours.
        const refused = beginActivation(await requestOf(stranger, elsewhere), { anchors: [await anchorOf(tpm)], now: new Date() });
        expect(isRefusal(refused) && refused.code).toBe('endorsement_untrusted');
        // Another TPM's key blobs are of no use to it.
        const thief = attester('ecc', 'ecc', elsewhere);
        await expect(thief.attest(binding)).rejects.toThrow('tpm2_load failed');
      } finally {
        await elsewhere.stop();
      }
    });

    test('cannot pass off an endorsement of one TPM with a key of another as a pair that activates', async () => {
      const { request } = await enrol(attester('ecc'), tpm);
      const foreign = attester('another-key');
      const { akPublic } = await foreign.enrolmentRequest([]);
      const mixed = beginActivation({ ...request, akPublic }, { anchors: [await anchorOf(tpm)], now: new Date() });
      if (isRefusal(mixed)) throw new Error(mixed.detail);
      await expect(attester('ecc').activate(mixed.credential)).rejects.toThrow('tpm2_activatecredential failed');
    });
  });

  describe('the attester', () => {
    test('shows a changed PCR in its next quote', async () => {
      const machine = attester('ecc');
      const before = await machine.readPcrs();
      await tpm.tool('tpm2_pcrextend', `16:sha256=${'ab'.repeat(32)}`);
      const body = await machine.attest(binding);
      expect(body.pcrs['sha256']?.['16']).not.toBe(before['sha256']?.['16']);
      expect(body.pcrs['sha256']?.['0']).toBe(before['sha256']?.['0']);
    });

    test('answers several callers at once, one after the other', async () => {
      const machine = attester('ecc');
      const bodies = await Promise.all([1, 2, 3, 4].map((i) => machine.attest(Uint8Array.of(i))));
      expect(new Set(bodies.map(({ quote }) => quote)).size).toBe(4);
    });

    test('leaves no work files and keeps its folder to itself', async () => {
      expect(await readdir(join(home, 'ecc'))).toEqual(['ak']);
      expect((await stat(join(home, 'ecc'))).mode & 0o077).toBe(0);
      expect((await stat(join(home, 'ecc', 'ak'))).mode & 0o077).toBe(0);
    });

    test('says what is wrong: no key yet, another algorithm, no TPM there, a bank the TPM does not keep', async () => {
      await expect(attester('empty').attest(binding)).rejects.toThrow('run prepare first');
      await expect(attester('ecc', 'rsa').prepare()).rejects.toThrow('is ecc, not rsa');
      const away = createTpm2Attester({
        tcti: 'swtpm:host=127.0.0.1,port=1',
        stateFolder: join(home, 'x'),
        pcrs: { sha256: [0] },
        akAlgorithm: 'ecc',
      });
      await expect(away.prepare()).rejects.toThrow('tpm2_flushcontext failed');
      const banks = createTpm2Attester({ tcti: tpm.tcti, stateFolder: join(home, 'ecc'), pcrs: { sha384: [0] }, akAlgorithm: 'ecc' });
      await expect(banks.attest(binding)).rejects.toThrow(/sha384/);
    });
  });
}

async function enrol(machine: ReturnType<typeof createTpm2Attester>, on: Swtpm) {
  const request = await requestOf(machine, on);
  const activation = beginActivation(request, { anchors: [await anchorOf(on)], now: new Date() });
  if (isRefusal(activation)) throw new Error(`${activation.code}: ${activation.detail}`);
  return { request, activation };
}

async function requestOf(machine: ReturnType<typeof createTpm2Attester>, on: Swtpm): Promise<EnrolmentRequest> {
  return parseEnrolmentRequest(await machine.enrolmentRequest([await der(on.issuerCertificate)]));
}

async function anchorOf(on: Swtpm): Promise<TrustAnchor> {
  return { kind: 'tpm2', name: 'lab-root', certificate: toBase64(await der(on.rootCertificate)) };
}

async function der(pemFile: string): Promise<Uint8Array> {
  return new Uint8Array(new X509Certificate(await readFile(pemFile)).raw);
}

function verify(body: Readonly<Record<string, unknown>>, enrolledName: string) {
  const subject: EnrolledTpm2 = {
    subjectId: 's' as SubjectId,
    namespace,
    name: 'gpu-17',
    kind: 'tpm2',
    akName: enrolledName,
    ekCertificateDigest: 'e'.repeat(64) as Digest,
    attributes: {},
  };
  const attester = async (key: string) => (key === tpm2AttesterKey(enrolledName) ? subject : undefined);
  const spendTokenId = () => Promise.reject(new Error('a quote is no token'));
  const collateral = { find: async () => undefined };
  const asked = { role: 'primary' as const, binding, challengeNonce: new Uint8Array(32), spki: new Uint8Array(0) };
  const anchors: readonly TrustAnchor[] = [{ kind: 'tpm2', name: 'lab-root', certificate: '' }]; // activation has looked at it
  const context = { ...asked, now: new Date(), namespace, anchors, attester, spendTokenId, collateral };
  return createTpm2Verifier(reportChecks()).verify(body, context);
}

interface CloudMachine {
  readonly tpm: Swtpm;
  readonly home: string;
  readonly handle: string;
  readonly ak: PublicArea;
}

/** As Azure has it: the paravisor's report in an NV index, and somebody who makes quotes of its TDREPORT. */
async function vouchedByTdxGuest({ tpm, home, handle, ak }: CloudMachine): Promise<void> {
  const hclReport = '0x1400001';
  const world = await makeIntelWorld();
  const { report, quote } = makeTdHcl(world, await makePck(world), { ak: { publicKey: ak.key } });
  const bytes = fromBase64(report);
  await writeFile(join(home, 'hcl'), bytes);
  await tpm.tool('tpm2_nvdefine', '-Q', '-C', 'o', '-s', String(bytes.length), '-a', 'ownerread|ownerwrite', hclReport);
  await tpm.tool('tpm2_nvwrite', '-Q', '-C', 'o', hclReport, '-i', join(home, 'hcl'));
  const asked: Uint8Array[] = [];
  const tdQuote = async (tdReport: Uint8Array) => {
    asked.push(tdReport);
    return fromBase64(quote);
  };
  const wishes = { tcti: tpm.tcti, stateFolder: join(home, 'td-guest'), pcrs: { sha256: [0, 7] }, akAlgorithm: 'ecc' } as const;
  const machine = createTpm2Attester({ ...wishes, cloudKey: { handle, hclReport, tdQuote } });
  const anchors: readonly TrustAnchor[] = [{ kind: 'tdx', name: 'intel', certificate: toBase64(world.root.der) }];
  const collateral = keeping({ [`tdx-collateral ${FMSPC}`]: await makeBundle(world) });
  const wanted = { kind: 'tpm2' as const, identity: { fact: 'akName', value: ak.name }, anchors, collateral, now: TDX_NOW };
  const claims = await createTpm2Verifier(reportChecks()).verify(await machine.attest(binding), { ...workloadContext(wanted), binding });
  expect(claims).toMatchObject({ attester: { name: 'guest-1' }, facts: { akTrust: 'tee', teeProduct: 'TDX' } });
  expect(asked).toEqual([bytes.slice(32, 32 + 1024)]);
  const nobody = createTpm2Attester({ ...wishes, cloudKey: { handle, hclReport } });
  await expect(nobody.attest(binding)).rejects.toThrow('nobody makes quotes');
}
