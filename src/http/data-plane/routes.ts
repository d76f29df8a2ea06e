/** The data plane, for machines: challenge, release, ranged reads, end. Nothing else. */
import type { Request, RequestHandler } from 'express';
import { z } from 'zod';
import type { AccessRequest } from '../../domain/access.ts';
import { toBase64 } from '../../domain/bytes.ts';
import { DEFAULTS } from '../../domain/classes.ts';
import { VaultError } from '../../domain/errors.ts';
import { type ChallengeId, type Namespace, parseId, parseName, type ReleaseId } from '../../domain/ids.ts';
import { issueChallenge } from '../../vault/challenge.ts';
import { finishRelease } from '../../vault/finish.ts';
import { type ObjectRequest, openObject } from '../../vault/open-object.ts';
import { release } from '../../vault/release.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../listener.ts';
import { sendProblem } from '../problems.ts';
import { clientSpki, jsonBody, param, rawBody, remoteAddressOf, requestIdOf } from '../request.ts';
import { sendObject } from './send-object.ts';

const releaseBody = z.strictObject({
  challengeId: z.string().max(64).optional(),
  model: z.string().max(64),
  version: z.string().max(64),
  /** Each kind's verifier bounds and parses its own members. */
  evidence: z.array(z.strictObject({ kind: z.string().max(32), body: z.looseObject({}) })).max(8),
  delivery: z.literal('stream').default('stream'),
});

export function dataPlaneRoutes(vault: Vault): readonly Route[] {
  const challenge: RequestHandler = async (request, response) => {
    const { challengeId, nonce, expiresAt } = await issueChallenge(clientSpki(request), vault);
    response.status(201).json({ id: challengeId, nonce: toBase64(nonce), expires: expiresAt.toISOString(), vaultId: vault.vaultId });
  };

  const createRelease: RequestHandler = async (request, response) => {
    const answer = await release(admit(request, requestIdOf(response)), vault);
    if (answer.refused) return sendProblem(response, answer);
    const { permit, objects } = answer;
    response.status(201).json({
      id: permit.releaseId,
      expires: permit.expiresAt.toISOString(),
      version: permit.versionId,
      versionDigest: permit.versionDigest,
      objects: objects.map(({ path, size, sha256 }) => ({ path, size, sha256 })),
      receipt: { recordId: permit.recordId },
    });
  };

  const readObject: RequestHandler = async (request, response) => {
    const wanted = objectRequest(request, requestIdOf(response));
    const opened = await openObject(wanted, vault);
    if (opened.refused) return sendProblem(response, opened);
    await sendObject(opened, request, response);
  };

  const endRelease: RequestHandler = async (request, response) => {
    const refused = await finishRelease(objectRequest(request, requestIdOf(response)), vault);
    if (refused !== undefined) return sendProblem(response, refused);
    response.status(204).end();
  };

  const base = '/v1/namespaces/:namespace/releases';
  return [
    {
      method: 'post',
      path: '/v1/challenges',
      action: { open: 'a challenge grants nothing and is good for one TLS key' },
      handlers: [challenge],
    },
    { method: 'post', path: base, action: 'release', handlers: [rawBody(DEFAULTS.evidenceBodyBytes), createRelease] },
    { method: 'get', path: `${base}/:release/objects/*path`, action: 'release', handlers: [readObject] },
    { method: 'delete', path: `${base}/:release`, action: 'release', handlers: [endRelease] },
  ];
}

/** admit: bytes -> AccessRequest. */
function admit(request: Request, requestId: string): AccessRequest {
  const spki = clientSpki(request);
  const body = jsonBody(request, releaseBody);
  return {
    requestId,
    namespace: parseName<Namespace>(param(request, 'namespace'), 'namespace'),
    challengeId: body.challengeId === undefined ? undefined : parseId<ChallengeId>(body.challengeId, 'challengeId'),
    model: parseName(body.model, 'model'),
    version: parseId(body.version, 'version'),
    evidence: body.evidence,
    delivery: body.delivery,
    spki,
    remoteAddress: remoteAddressOf(request),
  };
}

function objectRequest(request: Request, requestId: string): ObjectRequest {
  const path = param(request, 'path');
  if (path.length > 1024) throw new VaultError('path_invalid');
  return {
    requestId,
    namespace: parseName<Namespace>(param(request, 'namespace'), 'namespace'),
    releaseId: parseId<ReleaseId>(param(request, 'release'), 'release'),
    path,
    spki: clientSpki(request),
    remoteAddress: remoteAddressOf(request),
  };
}
