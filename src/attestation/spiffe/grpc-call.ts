/**
 * One call of gRPC over a unix socket, and of what is answered the first message. This is all the Workload API needs of gRPC: one request, one
 * message back (the stream of X.509-SVIDs begins with the one in force). gRPC over HTTP/2: PROTOCOL-HTTP2.md of the grpc project.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders } from 'node:http2';
import { createConnection } from 'node:net';
import { concat } from '../../domain/bytes.ts';

const CALL_MS = 10_000;
/** A chain, a key and a bundle are a few KiB. */
const MAX_MESSAGE_BYTES = 1 << 20;
const PREFIX_BYTES = 5;

/** Rejects with what the service said, or that it did not answer within ten seconds. */
export async function callGrpc(
  socket: string,
  path: string,
  message: Uint8Array,
  metadata: Readonly<Record<string, string>>,
): Promise<Uint8Array> {
  const connection = createConnection(socket);
  const session = connect('http://localhost', { createConnection: () => connection });
  const timer = setTimeout(() => session.destroy(new Error('no answer in time')), CALL_MS);
  try {
    return await firstMessage(session, path, message, metadata);
  } finally {
    clearTimeout(timer);
    session.destroy();
    connection.destroy();
  }
}

function firstMessage(
  session: ClientHttp2Session,
  path: string,
  message: Uint8Array,
  metadata: Readonly<Record<string, string>>,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const fail = (what: string, cause?: unknown) => reject(new Error(`${path}: ${what}`, { cause }));
    session.on('error', (error) => fail(error.message, error)).on('close', () => fail('the connection was closed'));
    const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...metadata };
    const stream: ClientHttp2Stream = session.request(headers);
    const chunks: Buffer[] = [];
    const heard = (said: IncomingHttpHeaders) => {
      const status = said['grpc-status'];
      if (status !== undefined && status !== '0') fail(`status ${status}: ${String(said['grpc-message'] ?? '').slice(0, 200)}`);
    };
    stream.on('response', heard).on('trailers', heard);
    stream.on('error', (error) => fail(error.message, error));
    stream.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      const whole = Buffer.concat(chunks);
      const length = whole.length < PREFIX_BYTES ? 0 : whole.readUInt32BE(1);
      if (length > MAX_MESSAGE_BYTES || whole.length > MAX_MESSAGE_BYTES + PREFIX_BYTES) return fail('the answer is too long');
      if (whole.length < PREFIX_BYTES || whole.length < PREFIX_BYTES + length) return undefined;
      if (whole[0] !== 0) return fail('the answer is compressed');
      return resolve(new Uint8Array(whole.subarray(PREFIX_BYTES, PREFIX_BYTES + length)));
    });
    stream.on('end', () => fail('it ended without an answer'));
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt32BE(message.length, 1);
    stream.end(concat(prefix, message));
  });
}
