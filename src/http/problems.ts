/** The one place that turns errors into answers: RFC 9457 problem details with a stable code (docs/errors.md). */
import type { ErrorRequestHandler, Request, Response } from 'express';
import { DEFAULTS } from '../domain/classes.ts';
import { type ErrorCode, VaultError } from '../domain/errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import { requestIdOf } from './request.ts';
import { resetConnection } from './reset.ts';

export interface Problem {
  readonly code: ErrorCode;
  readonly detail?: string;
  /** Of the access record that says the same. */
  readonly recordId?: string | undefined;
}

/** The document itself (RFC 9457), for an answer with this id. */
export function problemText(problem: Problem, requestId: string): string {
  const { title, status } = new VaultError(problem.code);
  return JSON.stringify({
    type: `urn:weight-vault:error:${problem.code}`,
    title,
    status,
    code: problem.code,
    ...(problem.detail ? { detail: problem.detail } : {}),
    ...(problem.recordId ? { recordId: problem.recordId } : {}),
    requestId,
  });
}

export function sendProblem(response: Response, problem: Problem, headers: Readonly<Record<string, string>> = {}): void {
  const error = new VaultError(problem.code);
  response.locals['code'] = problem.code;
  if (error.retryable) response.set('Retry-After', '1');
  if (problem.code === 'request_timeout') endAfter(response);
  else if (!response.req.complete) boundRest(response.req);
  response
    .status(error.status)
    .set({ 'Cache-Control': 'no-store', ...headers })
    .type('application/problem+json')
    .send(problemText(problem, requestIdOf(response)));
}

/** Whoever was too slow is not waited for again: the answer leaves, and the connection ends. */
function endAfter(response: Response): void {
  response.set('Connection', 'close').once('finish', () => response.req.socket.destroySoon());
}

/** The rest of a refused body is thrown away as it comes, and not waited for longer than one that is read. */
function boundRest(request: Request): void {
  const over = setTimeout(() => !request.complete && resetConnection(request.socket), DEFAULTS.bodySeconds * 1000);
  over.unref();
  request.once('end', () => clearTimeout(over));
}

/** Express's last handler. What we did not foresee is `internal`: the cause goes to the operational log, never to the caller. */
export function problemHandler(log: Logger): ErrorRequestHandler {
  return (error, request, response, _next) => {
    const known = asVaultError(error);
    if (known.status >= 500) log.error('request failed', { requestId: requestIdOf(response), code: known.code, cause: causeOf(error) });
    if (response.headersSent) resetConnection(request.socket);
    else sendProblem(response, { code: known.code, detail: known.code === 'internal' ? '' : known.detail });
  };
}

function asVaultError(error: unknown): VaultError {
  if (error instanceof VaultError) return error;
  // body-parser and express name their refusals by `type` and `status`
  const { type, status } = (error ?? {}) as { type?: unknown; status?: unknown };
  if (type === 'entity.too.large') return new VaultError('request_too_large');
  if (typeof status === 'number' && status >= 400 && status < 500) return new VaultError('request_invalid');
  return new VaultError('internal', '', { cause: error });
}

function causeOf(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error; at instanceof Error && parts.length < 5; at = at.cause) parts.push(`${at.name}: ${at.message}`);
  return parts.join(' <- ').slice(0, 1000);
}
