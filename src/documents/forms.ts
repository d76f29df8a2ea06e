/** Pieces that the forms of anchors, reference values and enrolments share. */
import { z } from 'zod';

export const name = z.string().regex(/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/);
/** As in a policy's facts: "name=value" must be readable in one way only. */
export const claimName = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/);
/** Text that looks the same is the same: well-formed, NFC, no control character. */
export const plain = (maximum: number) =>
  z
    .string()
    .min(1)
    .max(maximum)
    .refine((text) => text.isWellFormed() && text === text.normalize('NFC') && !/\p{Cc}/u.test(text), 'must be plain text in NFC');

export const issuer = plain(512);
/** Who an issuer's tokens are about. */
export const tokenSubject = plain(512);
/** SPIFFE-ID, section 2.1. */
export const trustDomain = z.string().regex(/^[a-z0-9._-]{1,255}$/);
