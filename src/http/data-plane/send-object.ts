/** Plaintext onto a socket: one segment at a time, each only after the last has left; a failure resets the connection. */
import type { Request, Response } from 'express';
import { toBase64 } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import type { OpenedObject } from '../../vault/open-object.ts';
import { evaluate, rangeCounts } from '../conditions.ts';
import { sendProblem } from '../problems.ts';
import { parseRange, type Span } from '../range.ts';
import { resetConnection } from '../reset.ts';

/** Answers a read that was authorized: 200, 206, 304, or the problem of its headers. */
export async function sendObject(opened: OpenedObject, request: Request, response: Response): Promise<void> {
  const { size, sha256 } = opened.object;
  const tag = `"${sha256}"`;
  const verdict = evaluate(request.headers, tag);
  if (verdict === 'precondition_failed') return sendProblem(response, { code: verdict, detail: 'the object has another digest' });
  response.set({ 'Accept-Ranges': 'bytes', 'Cache-Control': 'no-store', ETag: tag });
  if (verdict === 'not_modified') return void response.status(304).end();

  // Only GET has ranges: RFC 9110 section 14.2.
  const ranged = request.method === 'GET' && rangeCounts(request.get('if-range'), tag);
  const span = ranged ? rangeOrProblem(request, response, size) : undefined;
  if (span === 'refused') return;
  const { start, end } = span ?? { start: 0, end: size };
  response.set({
    'Content-Length': String(end - start),
    'Content-Type': 'application/octet-stream',
    'Repr-Digest': `sha-256=:${toBase64(Buffer.from(sha256, 'hex'))}:`,
    ...(span && { 'Content-Range': `bytes ${start}-${end - 1}/${size}` }),
  });
  response.status(span ? 206 : 200);
  if (request.method === 'HEAD') return void response.end();
  await pump(opened, { start, end }, request, response);
}

function rangeOrProblem(request: Request, response: Response, size: number): Span | undefined | 'refused' {
  try {
    return parseRange(request.headers.range, size);
  } catch (error) {
    if (!(error instanceof VaultError)) throw error;
    response.removeHeader('ETag');
    sendProblem(response, { code: error.code, detail: error.detail }, { 'Content-Range': `bytes */${size}` });
    return 'refused';
  }
}

/** The first segment is opened before the status line is sent, so that a bad one is an error answer; later ones can only reset. */
async function pump(opened: OpenedObject, span: Span, request: Request, response: Response): Promise<void> {
  // The connection itself, not the response's: a pipelined response has none until the ones before it are done.
  const { socket } = request;
  const gone = new AbortController();
  const close = () => gone.abort(new VaultError('release_ended', 'the connection was closed'));
  if (socket.destroyed) close();
  socket.once('close', close);
  // A reader that has stopped reading must be cut too, so the cut does not wait for the next segment.
  const chunks = opened.read(span, gone.signal, () => response.headersSent && resetConnection(socket));
  try {
    for await (const chunk of chunks) await write(response, chunk, gone.signal);
    response.end();
  } catch (error) {
    if (!response.headersSent && !gone.signal.aborted) {
      for (const name of ['Content-Length', 'Content-Range', 'Content-Type', 'ETag', 'Repr-Digest']) response.removeHeader(name);
      throw error;
    }
    resetConnection(socket); // never a clean end: the client must see that what it has is not the whole
  } finally {
    socket.off('close', close);
  }
}

/** Resolves when the chunk has left this process, so that one buffer per stream is enough. Rejects when the connection is gone. */
function write(response: Response, chunk: Uint8Array, gone: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(gone.reason);
    if (gone.aborted) return abort();
    gone.addEventListener('abort', abort, { once: true });
    response.write(chunk, (error) => {
      gone.removeEventListener('abort', abort);
      if (error) reject(error);
      else resolve();
    });
  });
}
