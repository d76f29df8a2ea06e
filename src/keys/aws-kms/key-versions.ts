/**
 * Which KMS key is a version of one of our keys. Each version is a KMS key of its own, found by an alias that only its making sets:
 *
 *   alias/PREFIX/KEY-ID/VERSION       description of the key: weight-vault PURPOSE KEY-ID/VERSION
 *
 * One alias for all purposes, so that KMS itself gives a name away once. The description names the key back: an alias that was moved to
 * another key is noticed. Never KMS's own rotation: it would put several keys behind one version.
 */
import type { KeyMetadata, KMS } from '@aws-sdk/client-kms';
import { VaultError } from '../../domain/errors.ts';
import { LruMap } from '../../domain/lru-map.ts';
import type { KeyPurpose, KeyRef } from '../port.ts';
import type { Calls, Deadline } from './calls.ts';
import { isInvalidState } from './refusals.ts';

/** API reference of CreateAlias; `.`, which our ids may have, is not in it. */
const ALIAS_CHARACTERS = 256;
const PURPOSES: readonly KeyPurpose[] = ['kek', 'catalogue', 'log'];
/** How long a key counts as looked at; KMS itself refuses a disabled one at once. */
const FRESH_MS = 60_000;
const REMEMBERED = 1_024;
/** Where the material was made by KMS, in its own HSMs or in a CloudHSM cluster, and cannot be anywhere else. */
const OWN_MATERIAL: ReadonlySet<string | undefined> = new Set(['AWS_KMS', 'AWS_CLOUDHSM']);

export interface KeyVersion {
  readonly arn: string;
  readonly purpose: KeyPurpose;
}

export interface KeyVersions {
  /** Looked at anew. Throws `key_unknown`, or why the key is not to be used. */
  inspect(ref: KeyRef, deadline: Deadline): Promise<KeyVersion>;
  /** For making something new with it: looked at within the last minute. */
  usable(ref: KeyRef, deadline: Deadline): Promise<KeyVersion>;
  /** For opening what exists: also a key that KMS was told to rotate, because what it wrapped must stay readable. */
  known(ref: KeyRef, deadline: Deadline): Promise<KeyVersion>;
  /** For ending it: whatever its state. */
  doomed(ref: KeyRef, deadline: Deadline): Promise<KeyVersion>;
  /** What keeps one of the keys from being used, after KMS said only that its state does. */
  stateError(refs: readonly KeyRef[], refusal: VaultError, deadline: Deadline): Promise<VaultError>;
  /** A new KMS key under a name that was free. */
  made(ref: KeyRef, purpose: KeyPurpose, arn: string): KeyVersion;
}

interface Remembered extends KeyVersion {
  /** performance.now(); undefined until it was looked at for new uses. */
  readonly checkedAtMs: number | undefined;
}

export function aliasOf(prefix: string, ref: KeyRef): string {
  const alias = `alias/${prefix}/${ref.id.replaceAll('.', 'DOT')}/${ref.version}`; // ids have no capitals: it stays one to one
  if (alias.length > ALIAS_CHARACTERS) throw new VaultError('request_invalid', 'the key id is too long for an alias of KMS');
  return alias;
}

export const descriptionOf = (ref: KeyRef, purpose: KeyPurpose): string => `weight-vault ${purpose} ${ref.id}/${ref.version}`;

export const specOf = (purpose: KeyPurpose) =>
  purpose === 'kek'
    ? ({ KeySpec: 'SYMMETRIC_DEFAULT', KeyUsage: 'ENCRYPT_DECRYPT' } as const)
    : ({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' } as const);

/** `pinned`: the ARN that a version must have, by `id/version`. */
export function createKeyVersions(calls: Calls, prefix: string, pinned: ReadonlyMap<string, string>): KeyVersions {
  const remembered = new LruMap<string, Remembered>(REMEMBERED);
  const nameOf = (ref: KeyRef) => `${ref.id}/${ref.version}`;

  const metadataOf = (keyId: string, deadline: Deadline): Promise<KeyMetadata> =>
    calls.send('DescribeKey', deadline, async (kms, options) => {
      const { KeyMetadata: metadata } = await kms.describeKey({ KeyId: keyId }, options);
      if (metadata?.Arn === undefined) throw new VaultError('hsm_unavailable', 'DescribeKey answered nothing');
      return metadata;
    });

  async function look(ref: KeyRef, deadline: Deadline, states: 'enabled' | 'any' = 'enabled'): Promise<KeyVersion> {
    const metadata = await metadataOf(aliasOf(prefix, ref), deadline);
    const purpose = PURPOSES.find((one) => metadata.Description === descriptionOf(ref, one));
    if (purpose === undefined) throw unsuitable('the alias leads to a KMS key that was not made for it');
    const before = remembered.get(nameOf(ref));
    const arn = metadata.Arn ?? '';
    if ((pinned.get(nameOf(ref)) ?? arn) !== arn) throw unsuitable('the alias leads to another KMS key than the setting keyArns names');
    if (before !== undefined && before.arn !== arn) throw unsuitable('the alias was moved to another KMS key');
    assertKind(metadata, purpose);
    if (states === 'enabled') assertState(metadata);
    if (before === undefined) remembered.set(nameOf(ref), { arn, purpose, checkedAtMs: undefined });
    return { arn, purpose };
  }

  async function inspect(ref: KeyRef, deadline: Deadline): Promise<KeyVersion> {
    const found = await look(ref, deadline);
    if (found.purpose === 'kek') await assertNoRotation(found.arn, deadline);
    remembered.set(nameOf(ref), { ...found, checkedAtMs: performance.now() });
    return found;
  }

  async function assertNoRotation(arn: string, deadline: Deadline): Promise<void> {
    const rotating = await calls.send('GetKeyRotationStatus', deadline, (kms, options) => rotationOf(kms, arn, options));
    if (rotating) throw unsuitable('KMS rotates this key by itself: DisableKeyRotation, and rotate in the vault');
  }

  return {
    inspect,
    async usable(ref, deadline) {
      const found = remembered.get(nameOf(ref));
      if (found?.checkedAtMs !== undefined && performance.now() - found.checkedAtMs < FRESH_MS) return found;
      return inspect(ref, deadline);
    },
    async known(ref, deadline) {
      return remembered.get(nameOf(ref)) ?? look(ref, deadline);
    },
    doomed: (ref, deadline) => look(ref, deadline, 'any'),
    async stateError(refs, refusal, deadline) {
      if (!isInvalidState(refusal)) return refusal;
      try {
        for (const ref of refs) assertState(await metadataOf(aliasOf(prefix, ref), deadline));
        return new VaultError('key_unavailable', 'KMS says that the state of the key is changing', { cause: refusal });
      } catch (error) {
        return error instanceof VaultError ? error : refusal;
      }
    },
    made(ref, purpose, arn) {
      remembered.set(nameOf(ref), { arn, purpose, checkedAtMs: performance.now() });
      return { arn, purpose };
    },
  };
}

/** A key in a custom key store is never rotated by KMS, which then says UnsupportedOperationException. */
async function rotationOf(kms: KMS, arn: string, options: { readonly abortSignal: AbortSignal }): Promise<boolean> {
  try {
    return (await kms.getKeyRotationStatus({ KeyId: arn }, options)).KeyRotationEnabled !== false;
  } catch (cause) {
    if (cause instanceof Error && cause.name === 'UnsupportedOperationException') return false;
    throw cause;
  }
}

function assertKind(metadata: KeyMetadata, purpose: KeyPurpose): void {
  const { KeySpec, KeyUsage } = specOf(purpose);
  if (metadata.KeyManager === 'AWS') throw unsuitable('the key belongs to AWS, not to this account');
  if (metadata.KeySpec !== KeySpec || metadata.KeyUsage !== KeyUsage) throw unsuitable(`a ${purpose} key is ${KeySpec} for ${KeyUsage}`);
  if (!OWN_MATERIAL.has(metadata.Origin)) throw unsuitable('the key material was imported or is kept outside KMS: it can be elsewhere too');
  if (metadata.MultiRegion === true) throw unsuitable('a multi-Region key has copies that are not destroyed with it');
}

/** https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html */
function assertState({ KeyState: state, DeletionDate: until }: KeyMetadata): void {
  switch (state) {
    case 'Enabled':
      return;
    case 'Disabled':
      throw new VaultError('key_disabled');
    case 'PendingDeletion':
    case 'PendingReplicaDeletion':
      throw new VaultError('key_pending_deletion', until === undefined ? '' : `gone on ${until.toISOString()}`);
    case 'PendingImport':
      throw unsuitable('the key waits for imported material');
    default:
      throw new VaultError('key_unavailable', `KMS says that the key is ${state}`);
  }
}

const unsuitable = (why: string) => new VaultError('key_unsuitable', why);
