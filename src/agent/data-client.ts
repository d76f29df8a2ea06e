/** The requester's side of one release: challenge, evidence, grant, ranged reads, end. */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import type { Attester } from '../attestation/port.ts';
import { fromBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import type { Evidence } from '../domain/evidence.ts';
import {
  type Digest,
  isId,
  type ObjectPath,
  parseDigest,
  parseId,
  parseObjectPath,
  type ReleaseId,
  type VaultId,
  type VersionId,
} from '../domain/ids.ts';
import { type Attesters, gatherEvidence } from './gather-evidence.ts';
import { type HttpsClient, readAll } from './https-client.ts';

const challengeAnswer = z.object({ id: z.string(), nonce: z.string(), expires: z.string(), vaultId: z.string() });
const releaseAnswer = z.object({
  id: z.string(),
  expires: z.string(),
  version: z.string(),
  versionDigest: z.string(),
  objects: z.array(z.object({ path: z.string(), size: z.int().min(0), sha256: z.string() })),
  receipt: z.object({ recordId: z.string(), proof: z.base64().optional() }),
  alias: z.object({ name: z.string(), counter: z.int().min(1) }).optional(),
});

export interface GrantedRelease {
  readonly releaseId: ReleaseId;
  readonly expires: string;
  readonly versionId: VersionId;
  readonly versionDigest: Digest;
  readonly objects: ReadonlyArray<{ readonly path: ObjectPath; readonly size: number; readonly sha256: Digest }>;
  readonly recordId: string;
  /** When the vault waited for it; else `DataClient.receipt` asks for it. */
  readonly receipt?: Uint8Array;
  /** When an alias was asked for: which, and its counter. Keep the highest (seen-aliases.ts). */
  readonly alias?: { readonly name: string; readonly counter: number };
}

export interface Challenge {
  readonly id: string;
  readonly nonce: Uint8Array;
  readonly vaultId: VaultId;
}

/** Everything that comes back is parsed before it is used: the vault's answers size and name files here. */
export class DataClient {
  readonly #https: HttpsClient;
  readonly #namespace: string;
  /** DER SubjectPublicKeyInfo of our TLS key. */
  readonly #spki: Uint8Array;
  constructor(https: HttpsClient, namespace: string, privateKeyPem: string) {
    this.#https = https;
    this.#namespace = namespace;
    this.#spki = new Uint8Array(createPublicKey(createPrivateKey(privateKeyPem)).export({ type: 'spki', format: 'der' }));
  }

  async challenge(): Promise<Challenge> {
    const answer = read(challengeAnswer, await this.#https.json('POST', '/v1/challenges'));
    return { id: answer.id, nonce: fromBase64(answer.nonce), vaultId: parseId<VaultId>(answer.vaultId, 'vaultId') };
  }

  /** Evidence bound to the challenge, to this vault and to our TLS key: the machine's first, then what stands beside it. */
  attest({ vaultId, nonce }: Challenge, attesters: Attesters): Promise<readonly [Evidence, ...Evidence[]]> {
    return gatherEvidence(attesters, { vaultId, challengeNonce: nonce, spki: this.#spki });
  }

  /** The same of a machine alone. */
  async evidence(challenge: Challenge, machine: Attester): Promise<Evidence> {
    const [evidence] = await this.attest(challenge, { machine, beside: [], devices: [] });
    return evidence;
  }

  /** `version` is an id, or an alias with the highest counter of it that was seen here. `digest_mismatch` when the answer is of another. */
  async release(
    model: string,
    version: string,
    challengeId: string | undefined,
    evidence: readonly unknown[],
    aliasCounter?: number,
  ): Promise<GrantedRelease> {
    const path = `/v1/namespaces/${this.#namespace}/releases`;
    const asked = {
      ...(challengeId !== undefined && { challengeId }),
      ...(aliasCounter !== undefined && { aliasCounter }),
      model,
      version,
    };
    const answer = read(releaseAnswer, await this.#https.json('POST', path, { ...asked, evidence, delivery: 'stream' }));
    const named = isId(version) ? answer.version : answer.alias?.name;
    if (named !== version) throw new VaultError('digest_mismatch', `the release is of ${answer.version}, and ${version} was asked for`);
    return {
      releaseId: parseId<ReleaseId>(answer.id, 'release'),
      expires: answer.expires,
      versionId: parseId<VersionId>(answer.version, 'version'),
      versionDigest: parseDigest(answer.versionDigest),
      objects: answer.objects.map(({ path, size, sha256 }) => ({ path: parseObjectPath(path), size, sha256: parseDigest(sha256) })),
      recordId: answer.receipt.recordId,
      ...(answer.receipt.proof !== undefined && { receipt: fromBase64(answer.receipt.proof) }),
      ...(answer.alias && { alias: answer.alias }),
    };
  }

  /** The answer to a read of `path`; with `range`, exactly those bytes (`end` not included) or an error. */
  async object(releaseId: ReleaseId, path: string, range?: { start: number; end: number }, signal?: AbortSignal): Promise<IncomingMessage> {
    const encoded = path.split('/').map(encodeURIComponent).join('/');
    const response = await this.#https.send({
      method: 'GET',
      path: `/v1/namespaces/${this.#namespace}/releases/${releaseId}/objects/${encoded}`,
      headers: range === undefined ? {} : { Range: `bytes=${range.start}-${range.end - 1}` },
      ...(signal && { signal }),
    });
    if (response.statusCode === (range === undefined ? 200 : 206)) return response;
    response.destroy();
    throw new VaultError('internal', `HTTP status ${response.statusCode} where the range was asked for`);
  }

  /** Throws `receipt_pending` until a signed checkpoint covers the record. */
  async receipt(releaseId: ReleaseId): Promise<Uint8Array> {
    const path = `/v1/namespaces/${this.#namespace}/releases/${releaseId}/receipt`;
    return new Uint8Array(await readAll(await this.#https.send({ method: 'GET', path })));
  }

  async end(releaseId: ReleaseId): Promise<void> {
    await this.#https.json('DELETE', `/v1/namespaces/${this.#namespace}/releases/${releaseId}`);
  }
}

function read<T extends z.ZodType>(schema: T, answer: unknown): z.output<T> {
  const parsed = schema.safeParse(answer);
  if (!parsed.success) throw new VaultError('internal', 'the answer does not have the form a vault gives it', { cause: parsed.error });
  return parsed.data;
}
