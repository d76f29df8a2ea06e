/** Bodies of requests: bounded before they are read, whole before they are parsed, of exactly one form. */
import express, { type Request, type Response } from 'express';
import { z } from 'zod';
import { DEFAULTS } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import { assertJsonDepth } from '../domain/json.ts';

/** Throws when the request carries a body (RFC 9112 section 6: a length or a transfer coding says so). */
export function assertNoBody({ headers }: Request): undefined {
  const length = headers['content-length'] ?? '0';
  if (headers['transfer-encoding'] !== undefined || Number(length) !== 0) {
    throw new VaultError('request_invalid', 'this route takes no body');
  }
}

/** The body as JSON of exactly the given form, at most `limit` bytes of it. A body without a media type is taken for JSON. */
export async function readJson<T extends z.ZodType>(request: Request, response: Response, schema: T, limit: number): Promise<z.output<T>> {
  assertUncoded(request);
  assertJsonType(request.headers['content-type']);
  const text = (await readBody(request, response, limit)).toString('utf8');
  assertJsonDepth(text, DEFAULTS.jsonDepth);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new VaultError('request_invalid', 'the body is not JSON', { cause });
  }
  return checked(schema, json);
}

/** Throws `request_invalid` naming the member that is wrong. */
export function checked<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new VaultError('request_invalid', z.prettifyError(parsed.error).replaceAll('\n', ' ').slice(0, 500));
  return parsed.data;
}

/** What is sent is what is meant: nothing here is decompressed. */
export function assertUncoded({ headers }: Request): undefined {
  const coding = headers['content-encoding'];
  if (coding !== undefined) throw new VaultError('request_invalid', 'a body with a Content-Encoding is not read');
}

function assertJsonType(header: string | undefined): void {
  if (header === undefined || /^application\/json[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?$/i.test(header)) return;
  throw new VaultError('media_type_unsupported', 'send application/json');
}

/** One that has not come within 10 s is not waited for: some routes read before they know who asks. */
function readBody(request: Request, response: Response, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new VaultError('request_timeout')), DEFAULTS.bodySeconds * 1000);
    express.raw({ type: () => true, limit, inflate: false })(request, response, (error?: unknown) => {
      clearTimeout(late);
      if (error === undefined) resolve(Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0));
      else reject(error);
    });
  });
}
