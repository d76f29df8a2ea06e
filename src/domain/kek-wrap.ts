/** How a version of a KEK wraps: chosen by its provider when it was made, the same for its whole life, and recorded in the key ring. */

/** docs/formats/wrapped-key.md says what each is. */
export const WRAP_TIERS = [1, 2, 3] as const;
export type WrapTier = (typeof WRAP_TIERS)[number];

/** RFC 5649 is "AES Key Wrap with Padding"; OAEP of RFC 8017 with SHA-256 as hash and in MGF1. */
export const WRAP_ALGORITHMS = [
  'AES-256-GCM',
  'AES-256-KWP',
  'RSA-2048-OAEP-SHA-256',
  'RSA-3072-OAEP-SHA-256',
  'RSA-4096-OAEP-SHA-256',
] as const;
export type WrapAlgorithm = (typeof WRAP_ALGORITHMS)[number];

/** AWS API reference, "Amazon Resource Names"; the key id is a UUID, or `mrk-` and 32 digits. */
export const KMS_KEY_ARN = /^arn:aws[a-z-]{0,16}:kms:[a-z0-9-]{1,32}:\d{12}:key\/[A-Za-z0-9-]{1,64}$/;

export interface KekWrap {
  readonly tier: WrapTier;
  readonly algorithm: WrapAlgorithm;
  /** As in the wrapped blobs: `pkcs11`, `aws-kms`. */
  readonly provider: string;
  /** The one KMS key that this version is. */
  readonly arn?: string | undefined;
}

/** Nothing is compared with a version older than the recording. */
export function wrapsAsRecorded(found: KekWrap | undefined, recorded: KekWrap | undefined): boolean {
  return (
    recorded === undefined || (['tier', 'algorithm', 'provider', 'arn'] as const).every((member) => found?.[member] === recorded[member])
  );
}
