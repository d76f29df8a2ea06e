/**
 * The data plane, for machines: challenge, release, ranged reads, receipt, end, and the health of the node. Nothing else.
 * To add a route: an entry `forMachine({ ... })` as below; http/route.ts says what each member means.
 */
import { z } from 'zod';
import { MAX_PIECES } from '../../attestation/pieces.ts';
import { toBase64 } from '../../domain/bytes.ts';
import { DEFAULTS } from '../../domain/classes.ts';
import { type ChallengeId, parseId, parseName } from '../../domain/ids.ts';
import { issueChallenge } from '../../vault/challenge.ts';
import { finishRelease } from '../../vault/finish.ts';
import { openObject } from '../../vault/open-object.ts';
import { createReadiness } from '../../vault/readiness.ts';
import { readReceipt } from '../../vault/receipt.ts';
import type { Denied } from '../../vault/record.ts';
import { release } from '../../vault/release.ts';
import { renew } from '../../vault/renew.ts';
import type { Vault } from '../../vault/vault.ts';
import { healthRoutes } from '../health.ts';
import { withOpenApi } from '../openapi.ts';
import { sendProblem } from '../problems.ts';
import { clientSpki, tlsExporterOf } from '../request.ts';
import { type Route, routeFor } from '../route.ts';
import * as answers from './answers.ts';
import { sendObject } from './send-object.ts';

const evidence = z.array(z.strictObject({ kind: z.string().max(32), body: z.looseObject({}) })).max(MAX_PIECES);

const releaseBody = z.strictObject({
  challengeId: z.string().max(64).optional(),
  model: z.string().max(64),
  /** An id, or an alias of the model. */
  version: z.string().max(64),
  /** Of that alias, the highest counter the requester has seen. */
  aliasCounter: z.int().min(1).optional(),
  /** Each kind's verifier bounds and parses its own members. */
  evidence,
  delivery: z.literal('stream').default('stream'),
});

const renewBody = z.strictObject({ challengeId: z.string().max(64).optional(), evidence });

/** Whoever holds the TLS key of this very connection; what it may do, the evidence bound to that key decides. */
const forMachine = routeFor('machine', (request) => ({ spki: clientSpki(request) }));

const RELEASES = '/v1/namespaces/:namespace/releases';

export function dataPlaneRoutes(vault: Vault, readiness = createReadiness(vault)): readonly Route[] {
  return withOpenApi('Weight Vault: data plane', [...healthRoutes(readiness), ...releaseRoutes(vault)]);
}

/**
 * What a requester is told once its evidence was looked at: the code, and the record that says why. What was expected and seen would tell a
 * machine that is being tried out how far it got; an administrator reads it with `wv log show`.
 */
function opaque({ refused, code, detail, evidenceDigest, recordId }: Denied): Denied {
  return { refused, code, detail: evidenceDigest === undefined ? detail : '', recordId };
}

function releaseRoutes(vault: Vault): Route[] {
  return [
    forMachine({
      method: 'post',
      path: '/v1/challenges',
      action: { open: 'a challenge grants nothing and is good for one TLS key' },
      operationId: 'createChallenge',
      summary: 'A fresh challenge, good once, for the TLS key that asks',
      answers: { 201: answers.challenge },
      handle: async ({ spki }) => {
        const { challengeId, nonce, expiresAt } = await issueChallenge(spki, vault);
        return { id: challengeId, nonce: toBase64(nonce), expires: expiresAt, vaultId: vault.vaultId };
      },
    }),
    forMachine({
      method: 'post',
      path: RELEASES,
      action: 'release',
      operationId: 'createRelease',
      summary: 'Release one version to whoever the evidence proves',
      body: releaseBody,
      bodyBytes: DEFAULTS.evidenceBodyBytes,
      answers: { 201: answers.release },
      // admit: bytes -> AccessRequest
      handle: async ({ spki, params, body, requestId, remoteAddress, request }) => {
        const { namespace } = params;
        const challengeId = body.challengeId === undefined ? undefined : parseId<ChallengeId>(body.challengeId, 'challengeId');
        const wanted = {
          challengeId,
          model: parseName(body.model, 'model'),
          version: parseName(body.version, 'version'),
          aliasCounter: body.aliasCounter,
        };
        const { evidence, delivery } = body;
        const by = { remoteAddress, tlsExporter: tlsExporterOf(request) };
        const answer = await release({ requestId, namespace, ...wanted, evidence, delivery, spki, ...by }, vault);
        if (answer.refused) return opaque(answer);
        const { permit, objects, alias, receipt } = answer;
        return {
          id: permit.releaseId,
          expires: permit.expiresAt,
          version: permit.versionId,
          versionDigest: permit.versionDigest,
          objects: objects.map(({ path, size, sha256 }) => ({ path, size, sha256 })),
          receipt: {
            recordId: permit.recordId,
            href: `/v1/namespaces/${namespace}/releases/${permit.releaseId}/receipt`,
            ...(receipt && { proof: toBase64(receipt) }),
          },
          ...(alias && { alias }),
        };
      },
    }),
    forMachine({
      method: 'post',
      path: `${RELEASES}/:release/renew`,
      action: 'release',
      operationId: 'renewRelease',
      summary: 'A later expiry of the same release, for new evidence',
      body: renewBody,
      bodyBytes: DEFAULTS.evidenceBodyBytes,
      answers: { 200: answers.renewed },
      handle: async ({ spki, params, body, requestId, remoteAddress, request }) => {
        const { namespace, release: releaseId } = params;
        const challengeId = body.challengeId === undefined ? undefined : parseId<ChallengeId>(body.challengeId, 'challengeId');
        const by = { remoteAddress, tlsExporter: tlsExporterOf(request) };
        const answer = await renew({ requestId, namespace, releaseId, challengeId, evidence: body.evidence, spki, ...by }, vault);
        return answer.refused ? opaque(answer) : { id: answer.permit.releaseId, expires: answer.permit.expiresAt };
      },
    }),
    forMachine({
      method: 'get',
      path: `${RELEASES}/:release/objects/*object`,
      action: 'release',
      operationId: 'readObject',
      summary: 'Plaintext of an object, or of one range of it',
      answers: { 200: 'bytes', 206: 'bytes', 304: 'empty' },
      stream: async ({ spki, params, requestId, remoteAddress, request, response }) => {
        const { namespace, release: releaseId, object: path } = params;
        const opened = await openObject({ requestId, namespace, releaseId, path, spki, remoteAddress }, vault);
        if (opened.refused) return sendProblem(response, opened);
        await sendObject(opened, request, response);
      },
    }),
    forMachine({
      method: 'get',
      path: `${RELEASES}/:release/receipt`,
      action: 'release',
      operationId: 'readReceipt',
      summary: 'Proof that the release is in the signed access log (docs/formats/receipt.md)',
      answers: { 200: 'bytes' },
      handle: ({ spki, params, requestId, remoteAddress }) =>
        readReceipt({ requestId, namespace: params.namespace, releaseId: params.release, spki, remoteAddress }, vault),
    }),
    forMachine({
      method: 'delete',
      path: `${RELEASES}/:release`,
      action: 'release',
      operationId: 'endRelease',
      summary: 'The requester is done',
      answers: { 204: 'empty' },
      handle: ({ spki, params, requestId, remoteAddress }) =>
        finishRelease({ requestId, namespace: params.namespace, releaseId: params.release, spki, remoteAddress }, vault),
    }),
  ];
}
