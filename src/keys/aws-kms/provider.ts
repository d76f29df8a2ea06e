/** KeyProvider on AWS KMS. Lives in the keeper process only, as the PKCS#11 one does: the AWS credentials are there and nowhere else. */
import { equalBytes, sha256, toHex } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { SecretBytes, secretCopy } from '../../domain/secret.ts';
import { checkAad, checkMessage, checkRandomLength, checkRef, checkSecret, SECRET_BYTES } from '../bounds.ts';
import { type Destroyed, HEALTH_CODES, type KeyInfo, type KeyProvider, type KeyProviderHealth, type KeyRef } from '../port.ts';
import { aadDigest, decodeWrappedKey, encodeWrappedKey, type WrappedKey } from '../wrapped-key.ts';
import { type AwsKmsConnection, createCalls, type Deadline, type KmsCall, type KmsEvent, newDeadline } from './calls.ts';
import { createKey, scheduleDeletion } from './key-making.ts';
import { createKeyVersions, type KeyVersion } from './key-versions.ts';

const PROVIDER = 'aws-kms';
/** API reference of ScheduleKeyDeletion. */
const MOST_DELETION_DAYS = 30;

export interface AwsKmsConfig extends AwsKmsConnection {
  /** What the aliases of this vault's keys begin with, after `alias/`. */
  readonly aliasPrefix: string;
  /** Days between `destroy` and the end of the key material, 7 to 30, and 30 when absent: until then an administrator of KMS can bring it back. */
  readonly deletionDays?: number | undefined;
  /** The one KMS key that a version (`id/version`) may be: its alias is not believed alone. Versions that are not named are those of their aliases. */
  readonly keyArns?: Readonly<Record<string, string>> | undefined;
}

/** Asks nothing of AWS before the first operation. */
export function createAwsKmsKeyProvider(config: AwsKmsConfig, onEvent: (event: KmsEvent) => void = () => {}): KeyProvider {
  const { aliasPrefix, deletionDays = MOST_DELETION_DAYS, keyArns = {} } = config;
  const calls = createCalls(config, onEvent);
  const versions = createKeyVersions(calls, aliasPrefix, new Map(Object.entries(keyArns)));

  /** A call that uses keys: a refusal for the state of one gets its name. */
  async function use<T>(refs: readonly KeyRef[], operation: string, deadline: Deadline, call: KmsCall<T>): Promise<T> {
    try {
      return await calls.send(operation, deadline, call);
    } catch (error) {
      throw error instanceof VaultError ? await versions.stateError(refs, error, deadline) : error;
    }
  }

  async function infoOf(ref: KeyRef, { arn, purpose }: KeyVersion, deadline: Deadline): Promise<KeyInfo> {
    const info = { ref: { id: ref.id, version: ref.version }, purpose, extractable: false };
    if (purpose === 'kek') return { ...info, wrap: { tier: 1, algorithm: 'AES-256-GCM', provider: PROVIDER, arn } };
    const { PublicKey, KeyId } = await calls.send('GetPublicKey', deadline, (kms, options) => kms.getPublicKey({ KeyId: arn }, options));
    assertOf(arn, KeyId, 'GetPublicKey');
    if (PublicKey === undefined) throw new VaultError('hsm_unavailable', 'GetPublicKey answered nothing');
    return { ...info, publicKey: new Uint8Array(PublicKey), algorithm: 'ecdsa-p256-sha256' };
  }

  async function open(wrapped: WrappedKey, aad: Uint8Array, arn: string, deadline: Deadline): Promise<SecretBytes> {
    const asked = { KeyId: arn, CiphertextBlob: wrapped.bytes, EncryptionContext: contextOf(aad) };
    const { Plaintext, KeyId } = await use([wrapped.kek], 'Decrypt', deadline, (kms, options) => kms.decrypt(asked, options));
    if (Plaintext === undefined) throw new VaultError('hsm_unavailable', 'Decrypt answered nothing');
    try {
      assertOf(arn, KeyId, 'Decrypt');
      if (Plaintext.length < SECRET_BYTES.min || Plaintext.length > SECRET_BYTES.max)
        throw new VaultError('key_unwrap_refused', 'what was wrapped is not 16 to 64 bytes');
      return new SecretBytes(secretCopy(Plaintext));
    } finally {
      Plaintext.fill(0);
    }
  }

  return {
    async generate(ref, purpose) {
      checkRef(ref);
      const deadline = newDeadline();
      const arn = await createKey(calls, aliasPrefix, ref, purpose, deadline, onEvent);
      return infoOf(ref, versions.made(ref, purpose, arn), deadline);
    },
    async describe(ref) {
      checkRef(ref);
      const deadline = newDeadline();
      return infoOf(ref, await versions.inspect(ref, deadline), deadline);
    },
    async destroy(ref): Promise<Destroyed> {
      checkRef(ref);
      const deadline = newDeadline();
      return scheduleDeletion(calls, kekOf(ref, await versions.doomed(ref, deadline)), deletionDays, deadline);
    },
    async wrap(kek, secret, aad) {
      checkRef(kek);
      checkSecret(secret);
      checkAad(aad);
      const deadline = newDeadline();
      const arn = kekOf(kek, await versions.usable(kek, deadline));
      const Plaintext = secret.expose(secretCopy); // ours: the SDK reads it later, and perhaps more than once
      try {
        const asked = { KeyId: arn, Plaintext, EncryptionContext: contextOf(aad) };
        const { CiphertextBlob, KeyId } = await use([kek], 'Encrypt', deadline, (kms, options) => kms.encrypt(asked, options));
        assertOf(arn, KeyId, 'Encrypt');
        return blobOf(kek, CiphertextBlob, aad);
      } finally {
        Plaintext.fill(0);
      }
    },
    async unwrap(wrapped, aad) {
      checkAad(aad);
      checkBlob(wrapped, aad);
      const deadline = newDeadline();
      return open(wrapped, aad, kekOf(wrapped.kek, await versions.known(wrapped.kek, deadline)), deadline);
    },
    async rewrap(wrapped, aad, to, toAad) {
      checkAad(aad);
      checkAad(toAad);
      checkBlob(wrapped, aad);
      checkRef(to);
      const deadline = newDeadline();
      const source = kekOf(wrapped.kek, await versions.known(wrapped.kek, deadline));
      const destination = kekOf(to, await versions.usable(to, deadline));
      const asked = {
        CiphertextBlob: wrapped.bytes,
        SourceKeyId: source,
        SourceEncryptionContext: contextOf(aad),
        DestinationKeyId: destination,
        DestinationEncryptionContext: contextOf(toAad),
      };
      const refs = [wrapped.kek, to];
      const { CiphertextBlob, KeyId, SourceKeyId } = await use(refs, 'ReEncrypt', deadline, (kms, options) =>
        kms.reEncrypt(asked, options),
      );
      assertOf(source, SourceKeyId, 'ReEncrypt');
      assertOf(destination, KeyId, 'ReEncrypt');
      const again = blobOf(to, CiphertextBlob, toAad);
      using _opened = await open(again, toAad, destination, deadline);
      return again;
    },
    async sign(ref, message) {
      checkRef(ref);
      checkMessage(message);
      const deadline = newDeadline();
      const { arn, purpose } = await versions.usable(ref, deadline);
      if (purpose === 'kek') throw new VaultError('key_unknown', `no signing key ${ref.id}/${ref.version}`);
      const asked = { KeyId: arn, Message: sha256(message), MessageType: 'DIGEST', SigningAlgorithm: 'ECDSA_SHA_256' } as const;
      const { Signature, KeyId } = await use([ref], 'Sign', deadline, (kms, options) => kms.sign(asked, options));
      assertOf(arn, KeyId, 'Sign');
      if (Signature === undefined) throw new VaultError('hsm_unavailable', 'Sign answered nothing');
      return new Uint8Array(Signature);
    },
    async random(length) {
      checkRandomLength(length);
      return draw(length);
    },
    async health() {
      return draw(1).then((): KeyProviderHealth => ({ ok: true }), unhealthy);
    },
    async close() {
      calls.close();
    },
  };

  async function draw(length: number): Promise<Uint8Array> {
    const asked = { NumberOfBytes: length };
    const { Plaintext } = await calls.send('GenerateRandom', newDeadline(), (kms, options) => kms.generateRandom(asked, options));
    if (Plaintext?.length !== length) throw new VaultError('hsm_unavailable', 'GenerateRandom answered another number of bytes');
    const drawn = new Uint8Array(Plaintext);
    Plaintext.fill(0);
    return drawn;
  }
}

/**
 * KMS binds it as additional data of its AES-256-GCM, and writes it in clear into CloudTrail: so it is one digest, and of ids that are
 * random (docs/formats/wrapped-key.md).
 */
function contextOf(aad: Uint8Array): Record<string, string> {
  return { 'weight-vault-aad-sha256': toHex(sha256(aad)) };
}

/** Refused before KMS hears of it. */
function checkBlob(wrapped: WrappedKey, aad: Uint8Array): void {
  const { provider, kek, aadDigest: digest } = decodeWrappedKey(encodeWrappedKey(wrapped)); // its sizes, as if read from storage
  if (provider !== PROVIDER) throw new VaultError('key_unwrap_refused', 'the key was wrapped by another provider');
  checkRef(kek);
  if (!equalBytes(digest, aadDigest(aad))) throw new VaultError('key_context_mismatch');
}

/** Every answer names the key it is of. */
function assertOf(asked: string, answered: string | undefined, operation: string): void {
  if (answered !== asked) throw new VaultError('key_unsuitable', `${operation}: KMS answered for another key than was asked`);
}

function kekOf(ref: KeyRef, { arn, purpose }: KeyVersion): string {
  if (purpose !== 'kek') throw new VaultError('key_unknown', `no kek ${ref.id}/${ref.version}`);
  return arn;
}

function blobOf(kek: KeyRef, bytes: Uint8Array | undefined, aad: Uint8Array): WrappedKey {
  if (bytes === undefined) throw new VaultError('hsm_unavailable', 'KMS answered no ciphertext');
  return {
    v: 1,
    tier: 1,
    provider: PROVIDER,
    kek: { id: kek.id, version: kek.version },
    iv: new Uint8Array(0),
    bytes: new Uint8Array(bytes),
    aadDigest: aadDigest(aad),
  };
}

function unhealthy(error: unknown): KeyProviderHealth {
  const code = HEALTH_CODES.find((one) => error instanceof VaultError && error.code === one);
  return { ok: false, code: code ?? 'hsm_unavailable' };
}
