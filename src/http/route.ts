/**
 * A route as data, the one source of what is served, checked and documented. What a definition does not declare is refused: a body, a query
 * parameter, another media type. The pipeline is always: who asks, query, path, body, handler, answer.
 */
import type { Request, Response } from 'express';
import type { z } from 'zod';
import { DEFAULTS } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import { isRefusal, type Refusal } from '../domain/evidence.ts';
import { assertNoBody, assertUncoded, checked, readJson } from './body.ts';
import { type Params, parameterNames, parseParams } from './parameters.ts';
import { sendProblem } from './problems.ts';
import { remoteAddressOf, requestIdOf } from './request.ts';

/** `bytes`: the handler reads the request itself and bounds what it reads. */
export type BodyForm = z.ZodType | 'bytes';
export type AnswerForm = z.ZodType | 'bytes' | 'empty';
export type Answers = Readonly<Record<number, AnswerForm>>;

/** What the OpenAPI document says of a route. */
export interface RouteFacts {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  readonly path: string;
  /** The Cedar action that decides it, or why nobody needs to decide. */
  readonly action: string | { readonly open: string };
  readonly operationId: string;
  readonly summary: string;
  readonly body?: BodyForm | undefined;
  readonly query?: z.ZodObject | undefined;
  /** By status. Besides these every route may answer a problem. */
  readonly answers: Answers;
}

export interface Route extends RouteFacts {
  /** How the caller must show who they are. */
  readonly caller: Caller;
  readonly serve: (request: Request, response: Response) => Promise<void>;
}

/** `anyone` shows nothing, `machine` and `workstation` the TLS key of their certificate, `session` that and the token of a session. */
export type Caller = 'anyone' | 'machine' | 'workstation' | 'session';

/** What a handler is given besides who asks. */
export interface Asked<P extends string, B, Q> {
  readonly params: Params<P>;
  readonly body: B extends z.ZodType ? z.output<B> : undefined;
  readonly query: Q extends z.ZodObject ? z.output<Q> : undefined;
  readonly requestId: string;
  readonly remoteAddress: string;
  readonly request: Request;
  readonly response: Response;
}

/** What JSON shows of a value: a Date is a string. */
type Shown<T> = T extends string ? (string extends T ? string | Date : T) : T extends object ? { readonly [K in keyof T]: Shown<T[K]> } : T;
type Sent<F> = F extends z.ZodType ? Shown<z.output<F>> : F extends 'bytes' ? Uint8Array : undefined;
/** What a handler returns: the one answer with a status below 300, or a refusal, which becomes its problem. */
type Returned<A extends Answers> = Sent<A[keyof A]> | (Refusal & { readonly recordId?: string });

type Common<P extends string, B, Q> = Omit<RouteFacts, 'path' | 'body' | 'query' | 'answers'> & {
  readonly path: P;
  readonly body?: B;
  readonly query?: Q;
  /** Of a JSON body; `requestBodyBytes` when it is not said. */
  readonly bodyBytes?: number;
};

/** A route whose handler returns the answer. */
export type Definition<Who, P extends string, B, Q, A extends Answers> = Common<P, B, Q> & {
  readonly answers: A;
  readonly handle: (asked: Who & Asked<P, B, Q>) => Promise<Returned<A>> | Returned<A>;
};

/** A route that writes its answer itself: bytes, and statuses that depend on headers. */
export type StreamDefinition<Who, P extends string, B, Q> = Common<P, B, Q> & {
  readonly answers: Answers;
  readonly stream: (asked: Who & Asked<P, B, Q>) => Promise<void>;
};

/** Makes the routes of one kind of caller. `identify` throws when the caller does not show what it asks for. */
export function routeFor<Who extends object>(
  caller: Caller,
  identify: (request: Request, response: Response) => Promise<Who> | Who,
  /** Called when a handler has its answer, and before anybody gets it. */
  beforeAnswer: (who: Who, route: RouteFacts, request: Request) => Promise<void> | void = () => undefined,
) {
  return function route<
    P extends string,
    const A extends Answers,
    B extends BodyForm | undefined = undefined,
    Q extends z.ZodObject | undefined = undefined,
  >(definition: Definition<Who, P, B, Q, A> | StreamDefinition<Who, P, B, Q>): Route {
    parameterNames(definition.path); // a name that nobody can parse stops the start, not a request
    const { method, path, action, operationId, summary, body, query, answers } = definition;
    const serve = async (request: Request, response: Response): Promise<void> => {
      const who = await identify(request, response);
      const asked = {
        ...who,
        query: query === undefined ? noQuery(request) : checked(query, request.query),
        params: parseParams(path, request),
        body: await bodyOf(definition, request, response),
        requestId: requestIdOf(response),
        remoteAddress: remoteAddressOf(request),
        request,
        response,
      } as unknown as Who & Asked<P, B, Q>; // each part was checked by the schema it is typed after
      if ('stream' in definition) return definition.stream(asked);
      const answer = await definition.handle(asked);
      await beforeAnswer(who, definition, request);
      send(response, successOf(answers), answer);
    };
    return { caller, method, path, action, operationId, summary, body, query, answers, serve };
  };
}

async function bodyOf(
  { body, bodyBytes = DEFAULTS.requestBodyBytes }: { readonly body?: BodyForm | undefined; readonly bodyBytes?: number },
  request: Request,
  response: Response,
): Promise<unknown> {
  if (body === undefined) return assertNoBody(request);
  return body === 'bytes' ? assertUncoded(request) : readJson(request, response, body, bodyBytes);
}

function noQuery(request: Request): undefined {
  const [name] = Object.keys(request.query);
  if (name !== undefined) throw new VaultError('request_invalid', 'this route takes no query parameters');
}

function successOf(answers: Answers): number {
  return Number(Object.keys(answers)[0]);
}

function send(response: Response, status: number, value: unknown): void {
  if (typeof value === 'object' && value !== null && isRefusal(value)) sendProblem(response, value);
  else answer(response.status(status).set('Cache-Control', 'no-store'), value);
}

function answer(response: Response, value: unknown): void {
  if (value === undefined) response.end();
  else if (value instanceof Uint8Array) response.type('application/octet-stream').end(value);
  else response.json(value);
}

/** For routes that tell everybody the same. */
export const forAnyone = routeFor('anyone', () => ({}));
