/** The vault under test: SoftHSM, `wv init`, `wv serve` as a process of its own, a model published and promoted, a machine enrolled. */
import { createCipheriv, X509Certificate } from 'node:crypto';
import { createWriteStream, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DataClient } from '../../src/agent/data-client.ts';
import { createHttpsClient, type HttpsClient } from '../../src/agent/https-client.ts';
import type { EnrolmentCredential } from '../../src/attestation/tpm2/enrolment.ts';
import { toBase64 } from '../../src/domain/bytes.ts';
import { type RealVault, startRealVault, wvJson } from '../../test/e2e/real-vault.ts';
import { createSoftwareTpm, type SoftwareTpm } from './software-tpm.ts';

const MIB = 1024 * 1024;
export const MODEL = 'benchmark';
export const OBJECT = 'model.safetensors';

/** PEM files of one client and one server: the same for every server that is compared. */
export interface TlsFiles {
  readonly clientCertificate: string;
  readonly clientKey: string;
  readonly serverCertificate: string;
  readonly serverKey: string;
}

export interface BenchVault {
  readonly real: RealVault;
  readonly tls: TlsFiles;
  readonly tpm: SoftwareTpm;
  readonly versionId: string;
  /** The plaintext that was published, for the peers to serve. */
  readonly plainFolder: string;
  readonly bytes: number;
  /** Connections of the enrolled machine to the data plane on `port`. */
  client(port: number, connections: number): { readonly https: HttpsClient; readonly client: DataClient };
}

export async function startBenchVault(mib: number): Promise<BenchVault> {
  const real = await startRealVault();
  try {
    const plainFolder = real.at('plain');
    const bytes = await writeObject(plainFolder, mib);
    const versionId = await publish(real, plainFolder);
    const tpm = await createSoftwareTpm();
    const home = await enrol(real, tpm);
    const tls = {
      clientCertificate: join(home, 'tls.crt'),
      clientKey: join(home, 'tls.key'),
      serverCertificate: join(real.folder, 'tls', 'data.crt'),
      serverKey: join(real.folder, 'tls', 'data.key'),
    };
    const client: BenchVault['client'] = (port, connections) => {
      const https = pinnedClient(port, tls, connections);
      return { https, client: new DataClient(https, 'default', readFileSync(tls.clientKey, 'utf8')) };
    };
    return { real, tls, tpm, versionId, plainFolder, bytes, client };
  } catch (error) {
    await real.stop();
    throw error;
  }
}

export function pinnedClient(port: number, tls: TlsFiles, connections: number): HttpsClient {
  return createHttpsClient({
    url: `https://127.0.0.1:${port}`,
    ca: readFileSync(tls.serverCertificate, 'utf8'),
    certificate: readFileSync(tls.clientCertificate, 'utf8'),
    privateKey: readFileSync(tls.clientKey, 'utf8'),
    connections,
  });
}

/** DER SubjectPublicKeyInfo of the machine's TLS key. */
export function clientSpki(tls: TlsFiles): Uint8Array {
  return new Uint8Array(new X509Certificate(readFileSync(tls.clientCertificate)).publicKey.export({ type: 'spki', format: 'der' }));
}

/** Attests and is granted a release of the object; the URL to read it at. */
export async function newRelease(vault: BenchVault, client: DataClient) {
  const challenge = await client.challenge();
  const { releaseId } = await client.release(MODEL, vault.versionId, challenge.id, [await client.evidence(challenge, vault.tpm)]);
  return { releaseId, path: `/v1/namespaces/default/releases/${releaseId}/objects/${OBJECT}` };
}

/** Class internal: one person publishes, and the policy asks for fresh, key-bound evidence. */
async function publish(real: RealVault, folder: string): Promise<string> {
  await real.promote();
  const published = await wvJson('publish', '--kit', real.kit('alice'), '--model', MODEL, '--class', 'internal', folder);
  const approval = published['approval'] as { state: string };
  if (approval.state !== 'executed') throw new Error(`the version of the benchmark is not promoted but ${approval.state}`);
  return String(published['versionId']);
}

/** By credential activation, as every machine; the software TPM's root and PCRs come into force first, signed by two people. */
async function enrol(real: RealVault, tpm: SoftwareTpm): Promise<string> {
  await real.propose('trust-anchors', { anchors: [{ kind: 'tpm2', name: 'benchmark root', certificate: toBase64(tpm.root) }] });
  const values = Object.entries(tpm.pcrs['sha256'] ?? {}).map(([index, value]) => [index, [value]]);
  await real.propose('reference-values', { values: [{ id: 'benchmark', kind: 'tpm2', pcrs: { sha256: Object.fromEntries(values) } }] });
  const home = await real.requester('benchmark-machine');
  await real.as('alice', async (alice) => {
    const base = '/v1/namespaces/default/enrolments';
    const wanted = { name: 'benchmark-machine', attributes: { owner: 'us' }, request: tpm.request };
    const { requestId, credential } = await alice.call('POST', base, wanted);
    const secret = toBase64(tpm.activate(credential as EnrolmentCredential)); // the admin plane's answer to an enrolment
    await alice.call('POST', `${base}/${String(requestId)}/confirm`, { secret });
  });
  return home;
}

/** One safetensors file with one tensor of numbers that do not compress. */
async function writeObject(folder: string, mib: number): Promise<number> {
  mkdirSync(folder);
  const numbers = mib * MIB;
  const header = Buffer.from(JSON.stringify({ weight: { dtype: 'U8', shape: [numbers], data_offsets: [0, numbers] } }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 1), Buffer.alloc(16));
  const zeros = Buffer.alloc(MIB);
  await pipeline(
    Readable.from(
      (function* () {
        yield Buffer.concat([length, header]);
        for (let i = 0; i < mib; i += 1) yield cipher.update(zeros);
      })(),
    ),
    createWriteStream(join(folder, OBJECT)),
  );
  return 8 + header.length + numbers;
}
