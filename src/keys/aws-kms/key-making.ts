/** Making and ending KMS keys: the two things that cannot simply be asked for again. */
import { VaultError } from '../../domain/errors.ts';
import type { Destroyed, KeyPurpose, KeyRef } from '../port.ts';
import type { Calls, Deadline, KmsEvent } from './calls.ts';
import { aliasOf, descriptionOf, specOf } from './key-versions.ts';
import { isInvalidState } from './refusals.ts';

const LEAST_DAYS = 7;

/**
 * The ARN of a new KMS key behind a free alias. The alias is what makes it a key of ours: when that cannot be set, the KMS key is one that
 * nobody will ever use, and is sent away again as far as we may.
 */
export async function createKey(
  calls: Calls,
  prefix: string,
  ref: KeyRef,
  purpose: KeyPurpose,
  deadline: Deadline,
  onEvent: (event: KmsEvent) => void,
): Promise<string> {
  const alias = aliasOf(prefix, ref);
  if ((await targetOf(calls, alias, deadline)) !== undefined) throw new VaultError('key_exists', `${ref.id}/${ref.version}`);
  const asked = { ...specOf(purpose), Origin: 'AWS_KMS', MultiRegion: false, Description: descriptionOf(ref, purpose) } as const;
  const { KeyMetadata: made } = await calls.send('CreateKey', deadline, (kms, options) => kms.createKey(asked, options), 'once');
  const arn = made?.Arn;
  if (arn === undefined) throw new VaultError('hsm_unavailable', 'CreateKey answered nothing');
  try {
    await setAlias(calls, alias, arn, deadline);
    return arn;
  } catch (cause) {
    const days = LEAST_DAYS;
    await scheduleDeletion(calls, arn, days, deadline).catch(() => {
      const id = arn.replace(/^.*\//, '');
      onEvent({ event: 'kms', code: 'kms_access_denied', detail: `a KMS key without an alias is left over, delete it: ${id}` });
    });
    throw cause;
  }
}

/** An answer that was lost is not a refusal: an alias that leads to our key was set by us. */
async function setAlias(calls: Calls, alias: string, arn: string, deadline: Deadline): Promise<void> {
  try {
    await calls.send('CreateAlias', deadline, (kms, options) => kms.createAlias({ AliasName: alias, TargetKeyId: arn }, options));
  } catch (error) {
    if (!(error instanceof VaultError) || error.code !== 'key_exists') throw error;
    if ((await targetOf(calls, alias, deadline)) !== arn) throw error;
  }
}

async function targetOf(calls: Calls, alias: string, deadline: Deadline): Promise<string | undefined> {
  try {
    return (await calls.send('DescribeKey', deadline, (kms, options) => kms.describeKey({ KeyId: alias }, options))).KeyMetadata?.Arn;
  } catch (error) {
    if (error instanceof VaultError && error.code === 'key_unknown') return undefined;
    throw error;
  }
}

/** Unusable when this resolves, as KMS itself says when it is asked again. */
export async function scheduleDeletion(calls: Calls, arn: string, days: number, deadline: Deadline): Promise<Destroyed> {
  try {
    const asked = { KeyId: arn, PendingWindowInDays: days };
    await calls.send('ScheduleKeyDeletion', deadline, (kms, options) => kms.scheduleKeyDeletion(asked, options));
  } catch (error) {
    if (!(error instanceof VaultError) || !isInvalidState(error)) throw error; // else it may be scheduled already: by us, and the answer was lost
  }
  const { KeyMetadata: now } = await calls.send('DescribeKey', deadline, (kms, options) => kms.describeKey({ KeyId: arn }, options));
  if (now?.KeyState !== 'PendingDeletion') throw new VaultError('hsm_unavailable', `KMS says that the key is ${now?.KeyState}`);
  return now.DeletionDate === undefined ? {} : { cancellableUntil: now.DeletionDate };
}
