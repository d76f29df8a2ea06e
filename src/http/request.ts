/** What a handler may know of a request before it believes anything in it. */
import { randomUUID } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import express, { type Request, type RequestHandler, type Response } from 'express';
import { z } from 'zod';
import { DEFAULTS } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import { assertJsonDepth } from '../domain/json.ts';
import { resetConnection } from './reset.ts';

/** Gives every request an id that stands in its answer, its records and the operational log. Never the client's own. */
export const requestId: RequestHandler = (_request, response, next) => {
  response.locals['requestId'] = randomUUID();
  response.set('X-Request-Id', requestIdOf(response));
  next();
};

export function requestIdOf(response: Response): string {
  return String(response.locals['requestId']);
}

export function remoteAddressOf(request: Request): string {
  return request.socket.remoteAddress ?? '';
}

/**
 * DER SubjectPublicKeyInfo of the key that this very connection proved to hold in its handshake (TLS 1.3 CertificateVerify).
 * Certificates may be self-signed: only the key counts. Throws `client_certificate_missing`.
 */
export function clientSpki(request: Request): Uint8Array {
  const certificate = (request.socket as TLSSocket).getPeerX509Certificate?.(); // both planes listen with TLS only
  if (certificate === undefined) throw new VaultError('client_certificate_missing');
  return new Uint8Array(certificate.publicKey.export({ type: 'spki', format: 'der' }));
}

/**
 * Reads a body of at most `limit` bytes, uncompressed. Nothing is parsed before it is whole and small enough. One that has not come within
 * 10 s is not waited for: these routes read before they know who asks.
 */
export function rawBody(limit: number): RequestHandler {
  const read = express.raw({ type: () => true, limit, inflate: false });
  return (request, response, next) => {
    const late = setTimeout(() => resetConnection(request.socket), DEFAULTS.bodySeconds * 1000);
    read(request, response, (error?: unknown) => {
      clearTimeout(late);
      next(error);
    });
  };
}

/** The body as JSON of exactly the given form. Throws `request_invalid` naming the member. */
export function jsonBody<T extends z.ZodType>(request: Request, schema: T): z.output<T> {
  const text = Buffer.isBuffer(request.body) ? request.body.toString('utf8') : '';
  assertJsonDepth(text, DEFAULTS.jsonDepth);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new VaultError('request_invalid', 'the body is not JSON', { cause });
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new VaultError('request_invalid', z.prettifyError(parsed.error).replaceAll('\n', ' ').slice(0, 500));
  return parsed.data;
}

/** A named path parameter. Express has decoded it; its form is the caller's to check. */
export function param(request: Request, name: string): string {
  const value = request.params[name];
  return Array.isArray(value) ? value.join('/') : (value ?? '');
}
