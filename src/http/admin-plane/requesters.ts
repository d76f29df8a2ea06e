/** The machines that may ask for releases: enrolling them, and blocking them. */
import { fromBase64 } from '../../domain/bytes.ts';
import { DEFAULTS } from '../../domain/classes.ts';
import { blockSubject } from '../../vault/block.ts';
import { beginEnrolment, confirmEnrolment, enrolToken, enrolWorkload } from '../../vault/enrol.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../route.ts';
import * as answers from './answers.ts';
import * as bodies from './bodies.ts';
import { type AdminCallers, NAMESPACE } from './callers.ts';

export function requesterRoutes(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  return [
    forAdministrator({
      method: 'post',
      path: `${NAMESPACE}/enrolments`,
      action: 'enrolRequester',
      operationId: 'beginEnrolment',
      summary: 'A credential that only the machine of this request can open',
      body: bodies.enrolment,
      bodyBytes: DEFAULTS.evidenceBodyBytes,
      answers: { 201: answers.enrolment },
      handle: ({ actor, params, body }) => beginEnrolment(actor, { ...params, ...body }, vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${NAMESPACE}/enrolments/:request/confirm`,
      action: 'enrolRequester',
      operationId: 'confirmEnrolment',
      summary: 'Enrol the machine that opened the credential',
      body: bodies.confirm,
      answers: { 200: answers.requester },
      handle: ({ actor, params, body }) => confirmEnrolment(actor, params.request, fromBase64(body.secret), vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${NAMESPACE}/requesters`,
      action: 'enrolRequester',
      operationId: 'enrolTokenRequester',
      summary: 'Enrol a requester that an issuer of tokens vouches for',
      body: bodies.tokenRequester,
      answers: { 201: answers.tokenRequester },
      handle: ({ actor, params, body }) => enrolToken(actor, { ...params, ...body }, vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${NAMESPACE}/workloads`,
      action: 'enrolRequester',
      operationId: 'enrolWorkload',
      summary: 'Enrol whatever states one fact: a TEE guest by its measurement, say, or a SPIFFE workload by its id',
      body: bodies.workloadRequester,
      answers: { 201: answers.workloadRequester },
      handle: ({ actor, params, body }) => enrolWorkload(actor, { ...params, ...body }, vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${NAMESPACE}/requesters/:name/block`,
      action: 'blockRequester',
      operationId: 'blockRequester',
      summary: 'Stop a requester: nothing more reaches it 5 s after the answer',
      answers: { 200: answers.blocked },
      handle: async ({ actor, params }) => {
        const { stopId } = await blockSubject(actor, params.namespace, params.name, vault);
        return { blocked: params.name, stopId };
      },
    }),
  ];
}
