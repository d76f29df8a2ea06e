/** What a handler may know of a request before it believes anything in it. */
import { randomUUID } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { Request, RequestHandler, Response } from 'express';
import { VaultError } from '../domain/errors.ts';

/** Gives every request an id that stands in its answer, its records and the operational log. Never the client's own. */
export const requestId: RequestHandler = (_request, response, next) => {
  response.locals['requestId'] = randomUUID();
  response.set('X-Request-Id', requestIdOf(response));
  next();
};

/** HTTP/1.1 has exactly one Host (RFC 9112 section 3.2), and nothing here waits for an expectation but `100-continue`. */
export const soundHeaders: RequestHandler = (request, _response, next) => {
  const hosts = request.rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === 'host').length;
  if (hosts > 1 || (hosts === 0 && request.httpVersion === '1.1')) throw new VaultError('request_invalid', 'a request names one Host');
  const { expect } = request.headers;
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') throw new VaultError('request_invalid', 'Expect: 100-continue');
  next();
};

export function requestIdOf(response: Response): string {
  return String(response.locals['requestId']);
}

export function remoteAddressOf(request: Request): string {
  return request.socket.remoteAddress ?? '';
}

/** RFC 9266 section 4: names this TLS 1.3 connection, the same for both ends and for no other connection. 32 bytes, hex. */
export function tlsExporterOf(request: Request): string | undefined {
  const socket = request.socket as TLSSocket;
  return socket.exportKeyingMaterial?.(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)).toString('hex'); // both planes listen with TLS only
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
