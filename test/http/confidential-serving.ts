/**
 * A data plane with the real verifiers behind it, and machines that several kinds of evidence are made for (confidential-machines.ts): what they show is
 * judged, bound and recorded as in production. Only the makers' keys are ours.
 */
import { expect } from '@jest/globals';
import { createJwtVerifier } from '../../src/attestation/jwt/verifier.ts';
import { createNitroVerifier } from '../../src/attestation/nitro/verifier.ts';
import { createNvidiaVerifier } from '../../src/attestation/nvidia-gpu/verifier.ts';
import { createSnpVerifier } from '../../src/attestation/sev-snp/verifier.ts';
import { createTdxVerifier } from '../../src/attestation/tdx/verifier.ts';
import { createTpm2Verifier } from '../../src/attestation/tpm2/verifier.ts';
import type { Evidence, ReferenceValue, TrustAnchor } from '../../src/domain/evidence.ts';
import { type Asked, type ConfidentialMachines, makeConfidentialMachines } from '../attestation/confidential-machines.ts';
import { reportChecks } from '../attestation/report-checks.ts';
import { BEARER_ANCHOR, ISSUER, NONCE_ANCHOR, SUBJECT } from '../attestation/token-issuer.ts';
import { ANCHOR, GOOD_VALUE, PROD, type Published, starterPolicies } from '../vault/test-vault.ts';
import { type Answer, type Served, startServing } from './serving.ts';

export const PLAIN = Buffer.from('weights that only such machines may have');
export const KUBERNETES = 'https://kubernetes.test';
export const NS = '/v1/namespaces/prod';

/** Makes what a challenge is answered with. */
export type Shows = (asked: Asked) => Promise<readonly Evidence[]> | readonly Evidence[];

export class ConfidentialServing {
  /** Of the latest question. */
  asked: Asked | undefined;

  readonly served: Served;
  readonly machines: ConfidentialMachines;
  readonly restricted: Published;
  readonly open: Published;

  private constructor(served: Served, machines: ConfidentialMachines, restricted: Published, open: Published) {
    this.served = served;
    this.machines = machines;
    this.restricted = restricted;
    this.open = open;
  }

  static async start(): Promise<ConfidentialServing> {
    const verifiers = [
      createTdxVerifier(),
      createSnpVerifier(),
      createNitroVerifier(),
      createNvidiaVerifier(),
      createTpm2Verifier(reportChecks()),
      createJwtVerifier({ keysOf: async () => [] }),
    ];
    const served = await startServing(undefined, { verifiers: new Map(verifiers.map((one) => [one.kind, one])) });
    const { vault } = served;
    const machines = await makeConfidentialMachines(vault.clock.now());
    const kubernetes: TrustAnchor = { ...BEARER_ANCHOR, name: 'cluster', issuer: KUBERNETES };
    const anchors = [ANCHOR, NONCE_ANCHOR, kubernetes, ...machines.anchors];
    const token = (issuer: string): ReferenceValue => ({ id: issuer.slice(8, 14), kind: 'jwt', issuer, claims: { image: ['sha256:aa'] } });
    const bundle: ReferenceValue = { id: 'bundle', kind: 'jwt', issuer: ISSUER, claims: { debug: ['disabled'] } };
    const values = [GOOD_VALUE, token(ISSUER), token(KUBERNETES), bundle, ...machines.referenceValues];
    await vault.twoPeople({ kind: 'trust-anchors', namespace: PROD, counter: 2, anchors });
    await vault.twoPeople({ kind: 'reference-values', namespace: PROD, counter: 2, values });
    await vault.twoPeople({ kind: 'policy-set', namespace: PROD, counter: 2, policies: starterPolicies('public', 'restricted') });
    const { unitOfWork, attestation } = vault.vault.stores;
    await unitOfWork.run(async (tx) => {
      for (const row of machines.collateral) await attestation.putCollateral(tx, row);
    });
    const objects = { 'weights.bin': PLAIN };
    const versions = [await vault.publish('secret', 'restricted', objects), await vault.publish('open', 'public', objects)] as const;
    const serving = new ConfidentialServing(served, machines, ...versions);
    for (const [kind, identity] of Object.entries(machines.identities))
      await serving.#enrol('workloads', { name: `${kind}-1`, kind, identity });
    for (const issuer of [ISSUER, KUBERNETES]) await serving.#enrol('requesters', { name: issuer.slice(8, 14), issuer, subject: SUBJECT });
    return serving;
  }

  async #enrol(what: string, body: object): Promise<void> {
    const attributes = { fleet: 'production', owner: 'us' };
    const headers = await this.served.session();
    const answer = await this.served.ask('admin', `${NS}/${what}`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ attributes, ...body }),
    });
    expect(answer.status).toBe(201);
  }

  async challenge(): Promise<Asked & { readonly id: string }> {
    const { json } = await this.served.ask('data', '/v1/challenges', { method: 'POST' });
    const nonce = new Uint8Array(Buffer.from(String(json['nonce']), 'base64'));
    return { id: String(json['id']), vaultId: this.served.served.vaultId, challengeNonce: nonce, spki: this.served.machine.spki };
  }

  /** Answers a fresh challenge. */
  async ask(shows: Shows, version = this.restricted): Promise<Answer> {
    const { id, ...asked } = await this.challenge();
    this.asked = asked;
    return this.post(id, await shows(asked), version);
  }

  post(challengeId: string, evidence: readonly Evidence[], version = this.restricted): Promise<Answer> {
    const body = JSON.stringify({ challengeId, model: version.model, version: version.versionId, evidence });
    return this.served.ask('data', `${NS}/releases`, { method: 'POST', body });
  }

  /** The code; and it is on record, by the digest of what was shown, with a result that says why. The requester was told nothing else. */
  async refusalOf(shows: Shows, version = this.restricted): Promise<string> {
    const answer = await this.ask(shows, version);
    const code = String(answer.json['code']);
    expect([answer.status, answer.json['failed']]).toEqual([403, undefined]);
    expect(this.served.vault.lastRecord()).toMatchObject({ type: 'release.denied', outcome: 'deny', reason: code });
    if (code !== 'evidence_missing') expect(this.resultOf('release.denied')).toContain(`"weight-vault.reason":"${code}"`);
    return code;
  }

  async bytesOf(release: Answer): Promise<string> {
    const { body } = await this.served.ask('data', `${NS}/releases/${String(release.json['id'])}/objects/weights.bin`);
    return body.toString();
  }

  /** The stored result that the newest record of that type names. */
  resultOf(type: 'release.begin' | 'release.denied'): string {
    const { vault } = this.served;
    const { resultDigest } = vault.records(type).at(-1) as unknown as { readonly resultDigest: string }; // a member of version 2
    return Buffer.from(vault.row('SELECT bytes FROM attestation_results WHERE digest = ?', resultDigest)['bytes'] as Uint8Array).toString();
  }
}

/** The same for another challenge. */
export const elsewhere = (to: Asked): Asked => ({ ...to, challengeNonce: to.challengeNonce.map((byte) => byte ^ 1) });
