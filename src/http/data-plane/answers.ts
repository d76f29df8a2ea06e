/** The form of every JSON answer of the data plane. */
import { z } from 'zod';
import { digest, id, name, time } from '../forms.ts';

export const challenge = z.strictObject({ id, nonce: z.base64(), expires: time, vaultId: id });

export const release = z.strictObject({
  id,
  expires: time,
  version: id,
  versionDigest: digest,
  objects: z.array(z.strictObject({ path: z.string(), size: z.int().min(0), sha256: digest })),
  /** `href`: where the proof is, as soon as a signed checkpoint covers the record. `proof`: the receipt itself, of a release that waited for one. */
  receipt: z.strictObject({ recordId: id, href: z.string(), proof: z.base64().optional() }),
  /** Where an alias was asked for: keep the highest counter, and send it with the next request. */
  alias: z.strictObject({ name, counter: z.int().min(1) }).optional(),
});

export const renewed = z.strictObject({ id, expires: time });
