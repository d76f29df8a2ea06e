/** The OpenAPI 3.1 document of a plane, out of its route table alone. Schemas are JSON Schema 2020-12, as OpenAPI 3.1 takes them. */
import { z } from 'zod';
import { ERROR_CODES } from '../domain/errors.ts';
import { id } from './forms.ts';
import { PARAMETERS, parameterNames } from './parameters.ts';
import { type AnswerForm, type BodyForm, type Caller, forAnyone, type Route, type RouteFacts } from './route.ts';

/** RFC 9457, with the members that are ours. */
export const problem = z.strictObject({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.enum(Object.keys(ERROR_CODES)),
  detail: z.string().optional(),
  recordId: id.optional(),
  requestId: z.uuid(),
});

const SECURITY: Readonly<Record<Caller, ReadonlyArray<Readonly<Record<string, readonly string[]>>>>> = {
  anyone: [],
  machine: [{ clientKey: [] }],
  workstation: [{ clientKey: [] }],
  session: [{ clientKey: [], session: [] }],
};

const ABOUT = [
  'TLS 1.3 only. A client certificate may be self-signed: only its key counts.',
  'Bodies and queries are strict: what is not described here is refused. Every GET answers HEAD too.',
].join(' ');

/** The routes of a plane and the one that describes them all, itself included. */
export function withOpenApi(title: string, routes: readonly Route[]): readonly Route[] {
  let made: Record<string, unknown> | undefined;
  const described: readonly Route[] = [
    ...routes,
    forAnyone({
      method: 'get',
      path: '/v1/openapi.json',
      action: { open: 'it says what the published source says' },
      operationId: 'readOpenApi',
      summary: 'This document',
      answers: { 200: z.looseObject({}) },
      handle: () => {
        made ??= openApiDocument(title, described); // once per process: the table does not change
        return made;
      },
    }),
  ];
  return described;
}

export function openApiDocument(title: string, routes: readonly Route[]): Record<string, unknown> {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = templated(route.path);
    paths[path] = { ...paths[path], [route.method]: operation(route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title,
      version: '1',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description: ABOUT,
    },
    paths,
    components: {
      securitySchemes: {
        clientKey: { type: 'mutualTLS', description: 'The key of the certificate, proved in the handshake of this connection' },
        session: { type: 'http', scheme: 'bearer', description: 'From POST /v1/session; good on the workstation that logged in' },
      },
      schemas: { Problem: schemaOf(problem, 'output') },
      responses: {
        Problem: {
          description: 'A refusal, or an answer that could not be given. `code` is stable: docs/errors.md',
          content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        },
      },
    },
  };
}

/** `/a/:b/*c` -> `/a/{b}/{c}`. OpenAPI has no parameter with slashes in it; the description of such a one says so. */
export function templated(path: string): string {
  return path.replace(/\/[:*](\w+)/g, '/{$1}');
}

function operation(route: Route): object {
  const { action, operationId, summary, body, caller } = route;
  return {
    operationId,
    summary,
    ...(typeof action === 'string' ? { 'x-cedar-action': action } : { description: `Open: ${action.open}.` }),
    security: SECURITY[caller],
    parameters: [...pathParameters(route), ...queryParameters(route)],
    ...(body && { requestBody: { required: true, content: contentOf(body, 'input') } }),
    responses: { ...responsesOf(route), default: { $ref: '#/components/responses/Problem' } },
  };
}

function pathParameters({ path }: RouteFacts): object[] {
  return parameterNames(path).map((name) => {
    const { description } = PARAMETERS[name];
    return { name, in: 'path', required: true, description, schema: { type: 'string', minLength: 1, maxLength: 1024 } };
  });
}

function queryParameters({ query }: RouteFacts): object[] {
  return Object.entries(query?.shape ?? {}).map(([name, schema]) => {
    const required = !(schema as z.ZodType).safeParse(undefined).success;
    return { name, in: 'query', required, schema: schemaOf(schema as z.ZodType, 'input') };
  });
}

function responsesOf({ answers }: RouteFacts): Record<string, object> {
  const of = ([status, form]: [string, AnswerForm]) => {
    const description = MEANINGS[status] ?? 'Done';
    return [status, form === 'empty' ? { description } : { description, content: contentOf(form, 'output') }];
  };
  return Object.fromEntries(Object.entries(answers).map(of));
}

const MEANINGS: Readonly<Record<string, string>> = {
  201: 'Made',
  204: 'Done, and nothing to say',
  206: 'The range that was asked for',
  304: 'The requester has these bytes',
  503: 'Not now',
};

function contentOf(form: BodyForm, io: 'input' | 'output'): object {
  return form === 'bytes' ? { 'application/octet-stream': {} } : { 'application/json': { schema: schemaOf(form, io) } };
}

/** Throws for what JSON Schema cannot say: a test asks for every route. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io });
  return rest;
}
