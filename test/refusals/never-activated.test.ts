/**
 * Evidence of attestation keys that were never activated, before a vault with the real verifier and a real TPM in software: genuine
 * quotes that prove everything but enrolment, and keys that are no TPM's. Skipped visibly where swtpm or tpm2-tools are missing.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createTpm2Attester, type Tpm2Attester } from '../../src/attestation/tpm2/attester.ts';
import { createTpm2Verifier } from '../../src/attestation/tpm2/verifier.ts';
import { fromBase64, toBase64 } from '../../src/domain/bytes.ts';
import type { ErrorCode } from '../../src/domain/errors.ts';
import { evidenceBinding } from '../../src/domain/evidence.ts';
import type { Namespace } from '../../src/domain/ids.ts';
import { issueChallenge } from '../../src/vault/challenge.ts';
import { beginEnrolment, confirmEnrolment } from '../../src/vault/enrol.ts';
import { reportChecks } from '../attestation/report-checks.ts';
import { type Swtpm, startSwtpm } from '../harness/swtpm.ts';
import { codeFrom, type Machine, type Node, PROD, type Published, RESEARCH, starterPolicies, TestVault } from '../vault/test-vault.ts';

const missing = ['swtpm', 'swtpm_setup', 'tpm2_quote'].filter(
  (tool) => !(process.env['PATH'] ?? '').split(':').some((dir) => existsSync(join(dir, tool))),
);
const suite = missing.length > 0 ? describe.skip : describe;

suite(missing.length > 0 ? `evidence of a TPM (not run: ${missing.join(', ')} not on this machine)` : 'evidence of a TPM', () => {
  let tpm: Swtpm;
  let home: string;
  let vault: TestVault;
  let node: Node;
  let machine: Machine;
  let version: Published;
  let honest: Tpm2Attester;
  let intermediate: Uint8Array;

  const attester = (state: string) =>
    createTpm2Attester({ tcti: tpm.tcti, stateFolder: join(home, state), pcrs: { sha256: [0, 7] }, akAlgorithm: 'ecc' });
  const fresh = async (state: string) => {
    const made = attester(state);
    await made.prepare();
    return made;
  };

  beforeAll(async () => {
    [tpm, home, vault] = await Promise.all([startSwtpm(), mkdtemp(join(tmpdir(), 'wv-attester-')), TestVault.make()]);
    node = await vault.addNode({ verifiers: new Map([['tpm2', createTpm2Verifier(reportChecks())]]) });
    honest = await fresh('honest');
    const root = toBase64(await der(tpm.rootCertificate));
    intermediate = await der(tpm.issuerCertificate);
    const pcrs = Object.entries((await honest.readPcrs())['sha256'] ?? {}).map(([index, value]) => [index, [value]]);
    for (const namespace of [PROD, RESEARCH]) {
      await vault.twoPeople({ kind: 'trust-anchors', namespace, counter: 1, anchors: [{ kind: 'tpm2', name: 'lab', certificate: root }] });
      const values = [{ id: 'image', kind: 'tpm2' as const, pcrs: { sha256: Object.fromEntries(pcrs) } }];
      await vault.twoPeople({ kind: 'reference-values', namespace, counter: 1, values });
      await vault.twoPeople({ kind: 'policy-set', namespace, counter: 1, policies: starterPolicies('restricted') });
    }
    version = await vault.publish('falcon', 'restricted');
    await vault.publish('falcon', 'restricted', undefined, RESEARCH);
    machine = await vault.machine('tls-key'); // its TLS key is used; its attestation key is nobody's
    await enrol(honest, 'gpu-1');
  });
  afterAll(async () => {
    await vault?.remove();
    await tpm?.stop();
    if (home !== undefined) await rm(home, { recursive: true, force: true });
  });
  afterEach(async () => {
    expect(await ask((binding) => honest.attest(binding))).toMatchObject({ refused: false }); // the next honest request
  });

  type Body = Awaited<ReturnType<Tpm2Attester['attest']>>;
  async function ask(prove: (binding: Uint8Array) => Promise<Body>, namespace: Namespace = PROD, wanted = version) {
    const challenge = await issueChallenge(machine.spki, node.vault);
    const binding = evidenceBinding({ vaultId: vault.vault.vaultId, challengeNonce: challenge.nonce, spki: machine.spki });
    const body = { ...(await prove(binding)) };
    const evidence = [{ kind: 'tpm2', body }];
    return vault.ask({ machine, version: wanted, namespace, node, challengeId: challenge.challengeId, evidence });
  }
  async function expectRefused(code: ErrorCode, prove: (binding: Uint8Array) => Promise<Body>, namespace?: Namespace): Promise<void> {
    vault.expectDenied(await ask(prove, namespace), code);
  }
  const begin = async (who: Tpm2Attester, name: string, namespace: Namespace = PROD, akPublic?: string) => {
    const request = await who.enrolmentRequest([intermediate]);
    const sent = { ...request, ...(akPublic !== undefined && { akPublic }) };
    const enrolment = { namespace, name, attributes: { fleet: 'production' }, request: sent };
    return beginEnrolment(await vault.as('alice'), enrolment, node.vault);
  };
  const confirm = async (requestId: Awaited<ReturnType<typeof begin>>['requestId'], answer: Uint8Array) =>
    codeFrom(confirmEnrolment(await vault.as('alice'), requestId, answer, node.vault));
  async function enrol(who: Tpm2Attester, name: string, namespace: Namespace = PROD): Promise<void> {
    const { requestId, credential } = await begin(who, name, namespace);
    using secret = await who.activate(credential);
    const answer = secret.expose((bytes) => Uint8Array.from(bytes));
    expect(await confirm(requestId, answer)).toBe('nothing thrown');
  }

  test('by a genuine key that was never enrolled: attester_key_unknown', async () => {
    const stranger = await fresh('stranger');
    await expectRefused('attester_key_unknown', (binding) => stranger.attest(binding));
  });

  test('by a key whose enrolment was begun and not confirmed: attester_key_unknown, also after the credential expired', async () => {
    const begun = await fresh('begun');
    const { requestId, credential } = await begin(begun, 'gpu-2');
    await expectRefused('attester_key_unknown', (binding) => begun.attest(binding));
    using secret = await begun.activate(credential); // opened, and never answered in time
    vault.clock.advance(601);
    const answer = secret.expose((bytes) => Uint8Array.from(bytes));
    expect(await confirm(requestId, answer)).toBe('approval_settled');
    await expectRefused('attester_key_unknown', (binding) => begun.attest(binding));
  });

  test('by a key whose enrolment was answered wrongly: activation_failed, and attester_key_unknown from then on', async () => {
    const wrong = await fresh('wrong');
    const { requestId } = await begin(wrong, 'gpu-3');
    expect(await confirm(requestId, new Uint8Array(randomBytes(32)))).toBe('activation_failed');
    expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', reason: 'activation_failed' });
    await expectRefused('attester_key_unknown', (binding) => wrong.attest(binding));
  });

  test('by a key that was activated for another namespace: attester_key_unknown here, granted there', async () => {
    const theirs = await fresh('theirs');
    await enrol(theirs, 'gpu-4', RESEARCH);
    await expectRefused('attester_key_unknown', (binding) => theirs.attest(binding));
    const there = vault.row("SELECT version_id AS v FROM versions WHERE namespace = 'research'")['v'] as Published['versionId'];
    expect(await ask((binding) => theirs.attest(binding), RESEARCH, { ...version, versionId: there })).toMatchObject({ refused: false });
  });

  test('by a software key that says it is a TPM’s: attester_key_unknown, and it cannot be activated', async () => {
    const key = softwareKey();
    const akPublic = async () => pretending((await honest.attest(new Uint8Array(32))).akPublic, key);
    await expectRefused('attester_key_unknown', async (binding) => signedAgain(await honest.attest(binding), key, await akPublic()));
    const { requestId, credential } = await begin(honest, 'gpu-5', PROD, await akPublic());
    await expect(honest.activate(credential)).rejects.toThrow('tpm2_activatecredential failed');
    expect(await confirm(requestId, new Uint8Array(32))).toBe('activation_failed');
    await expectRefused('attester_key_unknown', async (binding) => signedAgain(await honest.attest(binding), key, await akPublic()));
  });

  test('by a key that may sign anything: attester_key_unsuitable, at enrolment too', async () => {
    const key = softwareKey();
    const loose = async () => unrestricted(pretending((await honest.attest(new Uint8Array(32))).akPublic, key));
    await expectRefused('attester_key_unsuitable', async (binding) => signedAgain(await honest.attest(binding), key, await loose()));
    expect(await codeFrom(begin(honest, 'gpu-6', PROD, await loose()))).toBe('attester_key_unsuitable');
  });

  test('that shows the enrolled key and was signed by another, of software or of the same TPM: evidence_signature_invalid', async () => {
    const stranger = await fresh('stranger');
    const { akPublic } = await honest.attest(new Uint8Array(32));
    const key = softwareKey();
    await expectRefused('evidence_signature_invalid', async (binding) => signedAgain(await honest.attest(binding), key, akPublic));
    await expectRefused('evidence_signature_invalid', async (binding) => ({ ...(await stranger.attest(binding)), akPublic }));
  });

  test('of the enrolled key for another binding, another time: evidence_binding_mismatch', async () => {
    const old = await honest.attest(new Uint8Array(randomBytes(32)));
    await expectRefused('evidence_binding_mismatch', async () => old);
  });
});

async function der(pemFile: string): Promise<Uint8Array> {
  return new Uint8Array(new X509Certificate(await readFile(pemFile)).raw);
}

function softwareKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

const sized = (bytes: Uint8Array) => Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 0xff), bytes]);

/** The public area of a genuine key with the point of a software key in it: TPM2B_PUBLIC ends in x and y (part 2, TPMS_ECC_POINT). */
function pretending(akPublic: string, key: KeyObject): string {
  const { x = '', y = '' } = key.export({ format: 'jwk' });
  const point = Buffer.concat([sized(Buffer.from(x, 'base64url')), sized(Buffer.from(y, 'base64url'))]);
  const genuine = Buffer.from(fromBase64(akPublic));
  return toBase64(Buffer.concat([genuine.subarray(0, -point.length), point]));
}

/** Bit 16 of the attributes is `restricted`: they stand behind size, type and name algorithm (part 2, TPMT_PUBLIC, TPMA_OBJECT). */
function unrestricted(akPublic: string): string {
  const bytes = Buffer.from(fromBase64(akPublic));
  bytes.writeUInt32BE(bytes.readUInt32BE(6) & ~(1 << 16), 6);
  return toBase64(bytes);
}

/** The genuine quote under a software signature: TPMT_SIGNATURE of ECDSA with SHA-256. */
function signedAgain<B extends { quote: string }>(body: B, key: KeyObject, akPublic: string): B {
  const rs = sign('sha256', fromBase64(body.quote), { key, dsaEncoding: 'ieee-p1363' });
  const signature = Buffer.concat([Buffer.of(0x00, 0x18, 0x00, 0x0b), sized(rs.subarray(0, 32)), sized(rs.subarray(32))]);
  return { ...body, akPublic, signature: toBase64(signature) };
}
