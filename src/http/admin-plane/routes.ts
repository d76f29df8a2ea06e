/** The admin plane, for people on their workstations. Its own listener; it shares no route and no session with the data plane. */
import type { Request, RequestHandler, Response } from 'express';
import type { z } from 'zod';
import { fromBase64 } from '../../domain/bytes.ts';
import { DEFAULTS } from '../../domain/classes.ts';
import { VaultError } from '../../domain/errors.ts';
import { type Namespace, parseDigest, parseId, parseName, parseObjectPath, type RequestId, type VersionId } from '../../domain/ids.ts';
import { spkiDigestOf } from '../../identity/certificates.ts';
import { sessionTokenDigest } from '../../identity/session-token.ts';
import { approve, pendingApprovals, requestApproval } from '../../vault/approve.ts';
import { type AdminActor, authenticate } from '../../vault/authorize.ts';
import { blockSubject } from '../../vault/block.ts';
import { readModel, readSlot } from '../../vault/catalogue.ts';
import { beginEnrolment, confirmEnrolment } from '../../vault/enrol.ts';
import { login, logout } from '../../vault/login.ts';
import { OPERATION_ACTIONS, type Operation } from '../../vault/operations.ts';
import { createModel, finishVersion, putObject, startVersion } from '../../vault/publish.ts';
import { readCheckpoint, readTile } from '../../vault/review.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../listener.ts';
import { clientSpki, jsonBody, param, rawBody, remoteAddressOf, requestIdOf } from '../request.ts';
import * as bodies from './bodies.ts';

const small = rawBody(DEFAULTS.requestBodyBytes);
const large = rawBody(DEFAULTS.evidenceBodyBytes);

export function adminPlaneRoutes(vault: Vault): readonly Route[] {
  /** A handler that runs for an authenticated administrator only; what it returns is the JSON answer. */
  const asAdmin =
    (handle: (actor: AdminActor, request: Request) => Promise<unknown>, status = 200): RequestHandler =>
    async (request, response) => {
      const actor = await authenticate(
        {
          token: sessionToken(request),
          workstation: workstationOf(request),
          requestId: requestIdOf(response),
          remoteAddress: remoteAddressOf(request),
        },
        vault,
      );
      answer(response, status, await handle(actor, request));
    };
  const withBody = <T extends z.ZodType>(
    schema: T,
    handle: (actor: AdminActor, body: z.output<T>, request: Request) => Promise<unknown>,
    status = 200,
  ) => asAdmin((actor, request) => handle(actor, jsonBody(request, schema), request), status);

  const logIn: RequestHandler = async (request, response) => {
    const workstation = workstationOf(request);
    const body = jsonBody(request, bodies.login);
    answer(
      response,
      201,
      await login({ ...body, workstation, requestId: requestIdOf(response), remoteAddress: remoteAddressOf(request) }, vault),
    );
  };
  const logOut = asAdmin(async (_actor, request) => logout(sessionTokenDigest(sessionToken(request) ?? ''), vault), 204);
  const propose = (parse: (request: Request) => Operation) =>
    asAdmin((actor, request) => requestApproval(actor, parse(request), vault), 201);

  const ns = '/v1/namespaces/:namespace';
  return [
    { method: 'post', path: '/v1/session', action: { open: 'logging in is how an administrator becomes one' }, handlers: [small, logIn] },
    { method: 'delete', path: '/v1/session', action: { open: 'everyone may end their own session' }, handlers: [logOut] },
    {
      method: 'post',
      path: `${ns}/models`,
      action: 'createModel',
      handlers: [
        small,
        withBody(bodies.model, (actor, body, request) => createModel(actor, { namespace: namespaceOf(request), ...body }, vault), 201),
      ],
    },
    {
      method: 'get',
      path: `${ns}/models/:model`,
      action: 'readCatalogue',
      handlers: [asAdmin((actor, request) => readModel(actor, namespaceOf(request), parseName(param(request, 'model'), 'model'), vault))],
    },
    {
      method: 'post',
      path: `${ns}/models/:model/versions`,
      action: 'publishVersion',
      handlers: [
        asAdmin(async (actor, request) => {
          const { versionId } = await startVersion(actor, namespaceOf(request), parseName(param(request, 'model'), 'model'), vault);
          return { versionId };
        }, 201),
      ],
    },
    {
      method: 'put',
      path: `${ns}/versions/:version/objects/*path`,
      action: 'publishVersion',
      handlers: [
        asAdmin(async (actor, request) => {
          const target = { namespace: namespaceOf(request), versionId: versionOf(request), path: parseObjectPath(param(request, 'path')) };
          const { path, size, sha256 } = await putObject(actor, target, request, vault);
          return { path, size, sha256 };
        }, 201),
      ],
    },
    {
      method: 'post',
      path: `${ns}/versions/:version/finish`,
      action: 'publishVersion',
      handlers: [
        large,
        withBody(bodies.finish, (actor, body, request) => {
          const target = { namespace: namespaceOf(request), versionId: versionOf(request) };
          return finishVersion(actor, target, body, vault);
        }),
      ],
    },
    {
      method: 'get',
      path: `${ns}/documents/:slot`,
      action: 'readCatalogue',
      handlers: [asAdmin((actor, request) => readSlot(actor, namespaceOf(request), slotOf(request), vault))],
    },
    {
      method: 'put',
      path: `${ns}/documents/policy-set`,
      action: OPERATION_ACTIONS['policy-set'],
      handlers: [
        large,
        propose((request) => ({ kind: 'policy-set', namespace: namespaceOf(request), ...jsonBody(request, bodies.policySet) })),
      ],
    },
    {
      method: 'put',
      path: `${ns}/documents/reference-values`,
      action: OPERATION_ACTIONS['reference-values'],
      handlers: [
        large,
        propose(
          (request) =>
            ({ kind: 'reference-values', namespace: namespaceOf(request), ...jsonBody(request, bodies.referenceValues) }) as Operation,
        ),
      ],
    },
    {
      method: 'put',
      path: `${ns}/documents/trust-anchors`,
      action: OPERATION_ACTIONS['trust-anchors'],
      handlers: [
        large,
        propose((request) => ({ kind: 'trust-anchors', namespace: namespaceOf(request), ...jsonBody(request, bodies.trustAnchors) })),
      ],
    },
    {
      method: 'get',
      path: `${ns}/requests`,
      action: 'readCatalogue',
      handlers: [
        asAdmin(async (actor, request) => ({ requests: (await pendingApprovals(actor, namespaceOf(request), vault)).map(shown) })),
      ],
    },
    {
      method: 'post',
      path: `${ns}/requests/:request/approve`,
      action: 'approve',
      handlers: [
        small,
        withBody(bodies.approve, (actor, body, request) => {
          return approve(actor, requestOf(request), parseDigest(body.operationDigest), vault);
        }),
      ],
    },
    {
      method: 'post',
      path: `${ns}/enrolments`,
      action: 'enrolRequester',
      handlers: [
        large,
        withBody(
          bodies.enrolment,
          (actor, { name, attributes, request: asked }, request) =>
            beginEnrolment(actor, { namespace: namespaceOf(request), name, attributes, request: asked }, vault),
          201,
        ),
      ],
    },
    {
      method: 'post',
      path: `${ns}/enrolments/:request/confirm`,
      action: 'enrolRequester',
      handlers: [
        small,
        withBody(bodies.confirm, (actor, body, request) => confirmEnrolment(actor, requestOf(request), fromBase64(body.secret), vault)),
      ],
    },
    {
      method: 'post',
      path: `${ns}/requesters/:name/block`,
      action: 'blockRequester',
      handlers: [
        asAdmin(async (actor, request) => {
          const name = parseName(param(request, 'name'), 'name');
          await blockSubject(actor, namespaceOf(request), name, vault);
          return { blocked: name };
        }),
      ],
    },
    { method: 'get', path: '/v1/log/checkpoint', action: 'readLog', handlers: [asAdmin((actor) => readCheckpoint(actor, vault))] },
    {
      method: 'get',
      path: '/v1/log/tile/*path',
      action: 'readLog',
      handlers: [asAdmin((actor, request) => readTile(actor, `tile/${param(request, 'path')}`, vault))],
    },
  ];
}

function answer(response: Response, status: number, value: unknown): void {
  response.status(status).set('Cache-Control', 'no-store');
  if (value === undefined) response.end();
  else if (value instanceof Uint8Array) response.type('application/octet-stream').end(value);
  else response.json(value);
}

/** What an approver sees of a request: everything that would be executed. */
function shown(row: Awaited<ReturnType<typeof pendingApprovals>>[number]) {
  const { requestId, kind, operation, operationDigest, requestedBy, createdAt, expiresAt } = row;
  return { requestId, kind, operation, operationDigest, requestedBy, createdAt, expiresAt };
}

function sessionToken(request: Request): string | undefined {
  return /^Bearer ([A-Za-z0-9_-]{43})$/.exec(request.headers.authorization ?? '')?.[1];
}

const workstationOf = (request: Request) => spkiDigestOf(clientSpki(request));
const namespaceOf = (request: Request) => parseName<Namespace>(param(request, 'namespace'), 'namespace');
const versionOf = (request: Request) => parseId<VersionId>(param(request, 'version'), 'version');
const requestOf = (request: Request) => parseId<RequestId>(param(request, 'request'), 'request');

function slotOf(request: Request) {
  const slot = bodies.slot.safeParse(param(request, 'slot'));
  if (!slot.success) throw new VaultError('document_unknown', 'policy-set, reference-values and trust-anchors can be in force');
  return slot.data;
}
