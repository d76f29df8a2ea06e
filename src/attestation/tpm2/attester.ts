/** Attester of kind `tpm2`: runs beside the model server, holds an attestation key in the TPM and quotes with it. Needs tpm2-tools 5. */
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { concat, equalBytes, fromBase64, toBase64, toHex } from '../../domain/bytes.ts';
import { type PcrBanks, tpm2ExtraData } from '../../domain/evidence.ts';
import { SecretBytes } from '../../domain/secret.ts';
import type { Attester } from '../port.ts';
import { type CloudKey, readVouched, withoutPadding } from './cloud-key.ts';
import type { EnrolmentCredential, EnrolmentRequest } from './enrolment.ts';
import { MAX_EVENT_LOG_BYTES, type Tpm2Body } from './evidence.ts';
import { type PcrChoice, parsePcrTable, selectionText } from './pcr-text.ts';
import { parsePublicArea } from './public-area.ts';
import { coversExactly, parseQuote, pcrDigest } from './quote.ts';
import { u32 } from './reader.ts';
import { parseSignature } from './signature.ts';
import { createTpmTools, type TpmTools } from './tools.ts';

export interface Tpm2AttesterOptions {
  /** TPM2TOOLS_TCTI: "device:/dev/tpmrm0", or "swtpm:host=127.0.0.1,port=2321". */
  readonly tcti: string;
  /** Holds `ak/`: the attestation key's public part, and its private part encrypted by this TPM. Useless on any other machine. */
  readonly stateFolder: string;
  /** What to quote. */
  readonly pcrs: PcrChoice;
  readonly akAlgorithm: 'ecc' | 'rsa';
  /** The log of this boot, sent along: /sys/kernel/security/tpm0/binary_bios_measurements, readable for root alone. */
  readonly eventLogFile?: string | undefined;
  /** Quote with this key, and not with one of our own. Then nothing is activated: the key is enrolled by its name. */
  readonly cloudKey?: CloudKey | undefined;
}

export interface Tpm2Attester extends Attester {
  readonly kind: 'tpm2';
  /** Makes the attestation key when `stateFolder` has none, and shows that the TPM can load it. Never replaces one. */
  prepare(): Promise<void>;
  /** `intermediates`: DER certificates between the endorsement certificate and the vault's anchor. Rejects for a cloud's key, and says its name. */
  enrolmentRequest(intermediates: readonly Uint8Array[]): Promise<EnrolmentRequest>;
  /** Opens a credential of the vault. Rejects when this TPM or this key is not the one it was made for. */
  activate(credential: EnrolmentCredential): Promise<SecretBytes>;
  attest(binding: Uint8Array): Promise<Tpm2Body>;
  /** The chosen PCRs as they are now: to capture reference values on a machine one trusts. Nothing is signed. */
  readPcrs(): Promise<PcrBanks>;
}

/** RSA-2048 endorsement key and its certificate (TCG EK Credential Profile; TCG registry of reserved handles). */
const EK_HANDLE = '0x81010001';
const EK_CERTIFICATE = '0x1c00002';
const SIGNATURE_SCHEME = { ecc: 'ecdsa', rsa: 'rsassa' } as const;
/** Magic and version of a tpm2-tools credential file. */
const CREDENTIAL_FILE_HEADER = concat(u32(0xbadcc0de), u32(1));

export function createTpm2Attester(given: Tpm2AttesterOptions): Tpm2Attester {
  const options = { ...given, stateFolder: resolve(given.stateFolder) }; // the tools run in a folder of their own
  const tools = createTpmTools(options.tcti, options.stateFolder);
  const selection = selectionText(options.pcrs);
  const { cloudKey } = options;
  return {
    kind: 'tpm2',
    prepare: () =>
      tools.exclusively(async (folder) => {
        if (cloudKey === undefined) await prepareKey(tools, folder, options);
        else await readCloudKey(tools, folder, cloudKey);
      }),
    enrolmentRequest: (intermediates) =>
      tools.exclusively((folder) =>
        cloudKey === undefined ? describeKeys(tools, folder, options.stateFolder, intermediates) : sayName(tools, folder, cloudKey),
      ),
    activate: (credential) => tools.exclusively((folder) => openCredential(tools, folder, options.stateFolder, credential)),
    attest: async (binding) => ({
      ...(await tools.exclusively(async (folder) => ({
        ...(await quoteTwiceAtMost(tools, folder, options, selection, binding)),
        ...(cloudKey && (await readVouched(tools, folder, cloudKey))),
      }))),
      ...(options.eventLogFile !== undefined && { eventLog: toBase64(await readLog(options.eventLogFile)) }),
    }),
    readPcrs: () => tools.exclusively((folder) => readPcrs(tools, folder, selection)),
  };
}

/** The two files of the key appear together, by renaming their folder: a crash leaves either no key or a whole one. */
async function prepareKey(tools: TpmTools, folder: string, { stateFolder, akAlgorithm }: Tpm2AttesterOptions): Promise<void> {
  const home = join(stateFolder, 'ak');
  if (!(await exists(join(home, 'public')))) {
    const made = join(folder, 'ak');
    await mkdir(made, { mode: 0o700 });
    const kind = ['-G', akAlgorithm, '-g', 'sha256', '-s', SIGNATURE_SCHEME[akAlgorithm]];
    const files = ['-c', 'ak.ctx', '-u', join(made, 'public'), '-f', 'tss', '-r', join(made, 'private')];
    await withFlush(tools, folder, () => tools.run(folder, 'tpm2_createak', '-Q', '-C', EK_HANDLE, ...kind, ...files));
    await Promise.all([stat(join(made, 'public')), stat(join(made, 'private'))]); // the tool ends well even where it could not write
    await rename(made, home);
  }
  const { type } = parsePublicArea(await readFile(join(home, 'public')));
  if (type !== akAlgorithm)
    throw new Error(`the attestation key in ${home} is ${type}, not ${akAlgorithm}; choose another state folder and enrol again`);
  await withKey(tools, folder, stateFolder, async () => undefined);
}

/** TPM2B_PUBLIC. */
async function readCloudKey(tools: TpmTools, folder: string, { handle }: CloudKey): Promise<Uint8Array> {
  await tools.run(folder, 'tpm2_readpublic', '-Q', '-c', handle, '-f', 'tss', '-o', 'ak.pub');
  return readFile(join(folder, 'ak.pub'));
}

async function sayName(tools: TpmTools, folder: string, key: CloudKey): Promise<never> {
  const { name } = parsePublicArea(await readCloudKey(tools, folder, key));
  throw new Error(`a key of the cloud is not activated; an administrator enrols it: wv enrol workload --kind tpm2 --by akName=${name}`);
}

async function describeKeys(
  tools: TpmTools,
  folder: string,
  stateFolder: string,
  intermediates: readonly Uint8Array[],
): Promise<EnrolmentRequest> {
  await tools.run(folder, 'tpm2_nvread', '-Q', EK_CERTIFICATE, '-o', 'ek.der');
  await tools.run(folder, 'tpm2_readpublic', '-Q', '-c', EK_HANDLE, '-f', 'tss', '-o', 'ek.pub');
  return {
    v: 1,
    kind: 'tpm2',
    ekCertificate: toBase64(withoutPadding(await readFile(join(folder, 'ek.der')))),
    ekIntermediates: intermediates.map(toBase64),
    ekPublic: toBase64(await readFile(join(folder, 'ek.pub'))),
    akPublic: toBase64(await readFile(join(stateFolder, 'ak', 'public'))),
  };
}

/** The secret touches the private work folder for a moment, because tpm2-tools write files. */
async function openCredential(tools: TpmTools, folder: string, stateFolder: string, credential: EnrolmentCredential): Promise<SecretBytes> {
  await writeFile(
    join(folder, 'credential'),
    concat(CREDENTIAL_FILE_HEADER, fromBase64(credential.idObject), fromBase64(credential.secret)),
  );
  await withKey(tools, folder, stateFolder, () =>
    withEndorsement(tools, folder, (auth) =>
      tools.run(folder, 'tpm2_activatecredential', '-Q', '-c', 'ak.ctx', '-C', EK_HANDLE, '-P', auth, '-i', 'credential', '-o', 'secret'),
    ),
  );
  return new SecretBytes(await readFile(join(folder, 'secret')));
}

/** A PCR may be extended between the quote and the reading of its value; once is chance. */
async function quoteTwiceAtMost(
  tools: TpmTools,
  folder: string,
  options: Tpm2AttesterOptions,
  selection: string,
  binding: Uint8Array,
): Promise<Tpm2Body> {
  const quote = () => quoteOnce(tools, folder, options, selection, tpm2ExtraData(binding));
  const body = (await quote()) ?? (await quote());
  if (body === undefined) throw new Error(`the PCRs ${selection} changed during two quotes, or the TPM does not keep them all`);
  return body;
}

/** Undefined when the values read are not the values quoted. */
async function quoteOnce(
  tools: TpmTools,
  folder: string,
  { stateFolder, cloudKey }: Tpm2AttesterOptions,
  selection: string,
  extraData: Uint8Array,
): Promise<Tpm2Body | undefined> {
  const what = ['-l', selection, '-q', toHex(extraData), '-g', 'sha256'];
  const quoteWith = (key: string) => tools.run(folder, 'tpm2_quote', '-Q', '-c', key, ...what, '-m', 'quote', '-s', 'signature');
  if (cloudKey === undefined) await withKey(tools, folder, stateFolder, () => quoteWith('ak.ctx'));
  else await quoteWith(cloudKey.handle);
  const pcrs = await readPcrs(tools, folder, selection);
  const [quoteBytes, signatureBytes] = await Promise.all([readFile(join(folder, 'quote')), readFile(join(folder, 'signature'))]);
  const quote = parseQuote(quoteBytes);
  const digest = pcrDigest(quote.selection, pcrs, parseSignature(signatureBytes).scheme.hash);
  if (!coversExactly(quote.selection, pcrs) || digest === undefined || !equalBytes(digest, quote.pcrDigest)) return undefined;
  const akPublic = toBase64(
    cloudKey === undefined ? await readFile(join(stateFolder, 'ak', 'public')) : await readCloudKey(tools, folder, cloudKey),
  );
  return { quote: toBase64(quoteBytes), signature: toBase64(signatureBytes), akPublic, pcrs };
}

/** The kernel says that the file has no bytes, so its size is looked at after reading. */
async function readLog(file: string): Promise<Uint8Array> {
  const bytes = await readFile(file);
  if (bytes.length > MAX_EVENT_LOG_BYTES) throw new Error(`the event log ${file} is longer than ${MAX_EVENT_LOG_BYTES} bytes`);
  return bytes;
}

async function readPcrs(tools: TpmTools, folder: string, selection: string): Promise<PcrBanks> {
  return parsePcrTable(await tools.run(folder, 'tpm2_pcrread', selection));
}

/** Loads the key into `ak.ctx` for `use`. Always from the saved blobs: a saved context does not outlive a TPM reset. */
async function withKey<T>(tools: TpmTools, folder: string, stateFolder: string, use: () => Promise<T>): Promise<T> {
  const home = join(stateFolder, 'ak');
  if (!(await exists(home))) throw new Error(`there is no attestation key in ${home}; run prepare first`);
  return withFlush(tools, folder, async () => {
    const blobs = ['-u', join(home, 'public'), '-r', join(home, 'private')];
    await withEndorsement(tools, folder, (auth) =>
      tools.run(folder, 'tpm2_load', '-Q', '-C', EK_HANDLE, '-P', auth, ...blobs, '-c', 'ak.ctx'),
    );
    await tools.run(folder, 'tpm2_flushcontext', '-t');
    return await use();
  });
}

/** Using the endorsement key needs a session in which the endorsement hierarchy's (empty) secret was shown: its policy (EK Credential Profile, template L-1). */
async function withEndorsement<T>(tools: TpmTools, folder: string, use: (auth: string) => Promise<T>): Promise<T> {
  await tools.run(folder, 'tpm2_startauthsession', '--policy-session', '-S', 'session.ctx');
  try {
    await tools.run(folder, 'tpm2_policysecret', '-Q', '-S', 'session.ctx', '-c', 'e');
    return await use('session:session.ctx');
  } finally {
    await tools.run(folder, 'tpm2_flushcontext', 'session.ctx');
  }
}

/** Frees the TPM's few object slots before and after, also those a killed process left. */
async function withFlush<T>(tools: TpmTools, folder: string, use: () => Promise<T>): Promise<T> {
  await tools.run(folder, 'tpm2_flushcontext', '-t');
  try {
    return await use();
  } finally {
    await tools.run(folder, 'tpm2_flushcontext', '-t');
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false; // anything else is not an answer
    throw error;
  }
}
