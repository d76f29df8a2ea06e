/** Parts of bodies as they travel in JSON. Believes nothing; a refusal names the member, never its content. */
import * as z from 'zod';
import { toBase64 } from '../domain/bytes.ts';
import { type Refusal, refuse } from '../domain/evidence.ts';

/** Canonical base64 of `minimum` to `maximum` bytes; the length is looked at before the text is decoded. */
export function base64Bytes(minimum: number, maximum: number) {
  return z
    .string()
    .min(Math.ceil(minimum / 3) * 4)
    .max(Math.ceil(maximum / 3) * 4)
    .transform((text, context) => {
      const bytes = new Uint8Array(Buffer.from(text, 'base64'));
      if (toBase64(bytes) === text && bytes.length >= minimum && bytes.length <= maximum) return bytes;
      context.addIssue('not canonical base64 of that length');
      return z.NEVER;
    });
}

export function parseBody<T>(form: z.ZodType<T>, body: Readonly<Record<string, unknown>>): T | Refusal {
  const parsed = form.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  // Paths hold members that the form names: unknown ones are reported at their parent.
  const path = issue === undefined || issue.path.length === 0 ? 'the body' : issue.path.join('.');
  const says = issue?.code === 'unrecognized_keys' ? 'has an unknown member' : 'does not have the form it should';
  return refuse('evidence_malformed', `${path} ${says}`);
}
