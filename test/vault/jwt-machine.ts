/** Requesters that show tokens, in a TestVault: a real issuer behind TLS on loopback, and machines that it vouches for. */
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { JWTPayload } from 'jose';
import { fetchKeySet } from '../../src/attestation/jwt/fetch-key-set.ts';
import { createKeySets } from '../../src/attestation/jwt/key-sets.ts';
import { createJwtVerifier } from '../../src/attestation/jwt/verifier.ts';
import { type Evidence, evidenceBinding, type JwtAnchor, jwtNonce } from '../../src/domain/evidence.ts';
import type { Namespace } from '../../src/domain/ids.ts';
import { issueSelfSigned } from '../../src/identity/certificates.ts';
import { issueChallenge } from '../../src/vault/challenge.ts';
import { enrolToken } from '../../src/vault/enrol.ts';
import type { Denied } from '../../src/vault/record.ts';
import { type Granted, release } from '../../src/vault/release.ts';
import { makeKey, type SigningKey, spkiOf, tokenOf } from '../attestation/token-issuer.ts';
import { ANCHOR, GOOD_VALUE, type Node, PROD, type Published, type TestVault } from './test-vault.ts';

export interface Issuer {
  /** Also `iss`. */
  readonly url: string;
  readonly ca: string;
  /** What it signs with and publishes: a test may rotate them. */
  keys: SigningKey[];
  /** Readings of its key set. */
  reads: number;
  close(): void;
}

export async function startIssuer(): Promise<Issuer> {
  const issued = await issueSelfSigned({ commonName: 'issuer', days: 1, now: new Date(), hosts: ['127.0.0.1'] });
  const server: Server = createServer({ cert: issued.certificatePem, key: issued.privateKeyPem }, (request, response) => {
    if (request.url !== '/keys') return response.writeHead(404).end();
    issuer.reads++;
    response.setHeader('Content-Type', 'application/jwk-set+json').end(JSON.stringify({ keys: issuer.keys.map(({ jwk }) => jwk) }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const issuer: Issuer = {
    url: `https://127.0.0.1:${port}`,
    ca: issued.certificatePem,
    keys: [makeKey('key-1')],
    reads: 0,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
  return issuer;
}

/** Its tokens answer a nonce, and count when their image is the golden one. */
export function anchorFor(issuer: Issuer, over: Partial<JwtAnchor> = {}): JwtAnchor {
  return {
    kind: 'jwt',
    name: 'the issuer',
    issuer: issuer.url,
    audience: 'weight-vault',
    jwksUrl: `${issuer.url}/keys`,
    jwksCa: issuer.ca,
    algorithms: ['ES256'],
    nonceClaim: ['eat_nonce'],
    claims: { image: ['image'] },
    ...over,
  };
}

export const withVerifier = (vault: TestVault) => {
  const verifier = createJwtVerifier(createKeySets({ fetch: fetchKeySet, clock: vault.clock }));
  return { verifiers: new Map([...vault.vault.verifiers, ['jwt', verifier] as const]) };
};

/** Puts the issuer in force beside the TPM anchor, and its golden image beside the TPM values. */
export async function trust(vault: TestVault, anchor: JwtAnchor, counter = 2): Promise<void> {
  const golden = { id: 'golden-image', kind: 'jwt', issuer: anchor.issuer, claims: { image: ['sha256:golden'] } } as const;
  await vault.twoPeople({ kind: 'trust-anchors', namespace: PROD, counter, anchors: [ANCHOR, anchor] });
  await vault.twoPeople({ kind: 'reference-values', namespace: PROD, counter, values: [GOOD_VALUE, golden] });
}

export class JwtMachine {
  readonly tls = makeKey('tls');
  readonly subject: string;
  readonly #vault: TestVault;
  readonly #issuer: Issuer;
  constructor(vault: TestVault, issuer: Issuer, subject: string) {
    this.#vault = vault;
    this.#issuer = issuer;
    this.subject = subject;
  }

  /** Enrolled by alice. */
  static async enrolled(
    vault: TestVault,
    issuer: Issuer,
    name: string,
    attributes = { owner: 'us', fleet: 'production' },
  ): Promise<JwtMachine> {
    const subject = `machine:${name}`;
    await enrolToken(await vault.as('alice'), { namespace: PROD, name, attributes, issuer: issuer.url, subject }, vault.vault);
    return new JwtMachine(vault, issuer, subject);
  }

  get spki(): Uint8Array {
    return spkiOf(this.tls);
  }

  /** What the issuer says about this machine, at the vault's time. */
  token(nonce: string, over: JWTPayload = {}): Promise<string> {
    const now = Math.floor(this.#vault.clock.now().getTime() / 1000);
    const [key] = this.#issuer.keys;
    const said = { iss: this.#issuer.url, aud: 'weight-vault', sub: this.subject, iat: now, exp: now + 300, image: 'sha256:golden' };
    return tokenOf({ ...said, eat_nonce: nonce, ...over }, {}, key);
  }

  /** What a renewal is asked with, but for the release. */
  async renewal(node: Node) {
    const challenge = await issueChallenge(this.spki, node.vault);
    const binding = evidenceBinding({ vaultId: node.vault.vaultId, challengeNonce: challenge.nonce, spki: this.spki });
    const evidence: Evidence[] = [{ kind: 'jwt', body: { token: await this.token(jwtNonce(binding)) } }];
    return { requestId: 'renew', challengeId: challenge.challengeId, evidence, spki: this.spki, remoteAddress: '198.51.100.7' };
  }

  /** `token` of another making, or claims that differ from the honest ones. */
  async ask(
    version: Pick<Published, 'model' | 'versionId'>,
    node: Node,
    over: { readonly claims?: JWTPayload; readonly token?: string; readonly namespace?: Namespace } = {},
  ): Promise<Granted | Denied> {
    const challenge = await issueChallenge(this.spki, node.vault);
    const { vaultId } = node.vault;
    const binding = evidenceBinding({ vaultId, challengeNonce: challenge.nonce, spki: this.spki });
    const token = over.token ?? (await this.token(jwtNonce(binding), over.claims));
    const evidence: Evidence[] = [{ kind: 'jwt', body: { token } }];
    const asked = { requestId: 'ask', namespace: over.namespace ?? PROD, challengeId: challenge.challengeId, aliasCounter: undefined };
    const wanted = { model: version.model, version: version.versionId, evidence, delivery: 'stream' as const };
    return release({ ...asked, ...wanted, spki: this.spki, remoteAddress: '198.51.100.7' }, node.vault);
  }
}
