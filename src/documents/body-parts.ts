/** The pieces that bodies of documents are made of. */
import { z } from 'zod';
import { type AdministratorId, type Digest, type KeyId, parseDigest, parseId, parseName, type VaultId } from '../domain/ids.ts';
import { KMS_KEY_ARN, WRAP_ALGORITHMS, WRAP_TIERS } from '../domain/kek-wrap.ts';

/** A string that `parse` accepts; a VaultError becomes an issue of the schema. */
export function text<T extends string>(parse: (value: string) => T) {
  return z.string().transform((value, context): T => {
    try {
      return parse(value);
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : 'not allowed' });
      return z.NEVER;
    }
  });
}
export const id = <T extends string>() => text((value) => parseId<T>(value, 'id'));
export const name = <T extends string>() => text((value) => parseName<T>(value, 'name'));
export const digest = <T extends string = Digest>() => text((value) => parseDigest<T>(value));
export const time = z.iso.datetime();
export const base64 = z.base64();
export const count = z.int().min(1);
export const keyRef = z.strictObject({ id: name<KeyId>(), version: count });
/** Absent of a version that was made before this was recorded. */
export const wrap = z
  .strictObject({
    tier: z.literal(WRAP_TIERS),
    algorithm: z.enum(WRAP_ALGORITHMS),
    provider: name(),
    arn: z.string().regex(KMS_KEY_ARN).optional(),
  })
  .optional();
export const attributes = z.record(z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/), z.string().min(1).max(256));
export const head = { v: z.literal(1), vaultId: id<VaultId>(), createdAt: time };

export const consent = z.strictObject({ administratorId: id<AdministratorId>(), authenticatorId: id(), workstation: digest() });
