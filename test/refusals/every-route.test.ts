/**
 * Every route of both planes, over TLS, asked by somebody who may not: without a certificate, without a session, with a session from
 * another workstation, by a person without any role. Each is 401 or 403 with a documented code. The routes come from the route tables; a
 * route without a valid request here fails this file, and so does one that answers such a person.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { isErrorCode } from '../../src/domain/errors.ts';
import { type AdministratorId, newId, type RequestId, SYSTEM } from '../../src/domain/ids.ts';
import type { Route } from '../../src/http/route.ts';
import { type IssuedCertificate, issueSelfSigned } from '../../src/identity/certificates.ts';
import { blockSubject } from '../../src/vault/block.ts';
import { beginClaim, confirmClaim } from '../../src/vault/claim.ts';
import { signRequest } from '../../src/vault/requests.ts';
import { captured } from '../attestation/samples.ts';
import { type Answer, type Plane, type Served, startServing } from '../http/serving.ts';
import { PROD, type Published, workstationOf } from '../vault/test-vault.ts';

let served: Served;
let stranger: IssuedCertificate;
let workstation: IssuedCertificate;
let token = '';
/** What stands for each parameter of a path: things that are really there; of one route, something else than of the others. */
const there: Record<string, string> = {};
const thereFor: Record<string, Record<string, string>> = {};
let version: Published;

beforeAll(async () => {
  served = await startServing();
  const { vault } = served;
  const issue = (commonName: string) => issueSelfSigned({ commonName, days: 1, now: new Date() });
  [stranger, workstation] = await Promise.all([issue('stranger'), issue('nina')]);
  version = await vault.publish('falcon', 'restricted');
  const waiting = await vault.upload('falcon', 'restricted');
  await vault.twoPeople({
    kind: 'alias',
    namespace: PROD,
    modelId: version.modelId,
    name: 'production',
    counter: 1,
    versionId: version.versionId,
    versionDigest: version.versionDigest,
  });
  const granted = await vault.granted({ machine: served.machine, version });
  const other = await vault.machine('gpu-2');
  const { stopId } = await blockSubject(await vault.as('bob'), PROD, other.name, vault.vault);
  token = await logInWithoutRoles();
  Object.assign(there, {
    namespace: PROD,
    model: 'falcon',
    name: 'bob',
    alias: 'production',
    version: version.versionId,
    release: granted.permit.releaseId,
    request: waiting.requestId,
    stop: stopId,
    keyVersion: '1',
    slot: 'policy-set',
    path: 'a/b.bin',
    object: 'weights.bin',
    tile: '0/000',
    record: String(vault.lastRecord().recordId),
  });
  thereFor['confirmEnrolment'] = { request: await begunEnrolment() };
});
afterAll(() => served.stop());

/** nina is let in by two people, with no role, sets up her authenticator and logs in. */
async function logInWithoutRoles(): Promise<string> {
  const { vault } = served;
  const administratorId = newId<AdministratorId>(vault.clock.now());
  const anew = { administratorId, counter: 1, state: 'active' as const, authenticator: 'reset' as const };
  const nina = { name: 'nina', roles: [], workstations: [workstation.spkiDigest] };
  await vault.twoPeople({ kind: 'administrator', namespace: SYSTEM, ...anew, ...nina });
  const attempt = { administrator: 'nina', workstation: workstation.spkiDigest, requestId: 'claim', remoteAddress: '192.0.2.1' };
  const { uri } = await beginClaim(attempt, vault.vault);
  vault.site.people['nina'] = { name: 'nina', workstation: workstation.spkiDigest, seed: new URL(uri).searchParams.get('secret') ?? '' };
  await confirmClaim({ ...attempt, code: await vault.code('nina') }, vault.vault);
  vault.clock.advance(30);
  const body = JSON.stringify({ administrator: 'nina', code: await vault.code('nina') });
  const answer = await served.ask('admin', '/v1/session', { method: 'POST', body, as: workstation });
  expect(answer.status).toBe(201);
  return String(answer.json['token']);
}

/** As beginEnrolment signs it for a TPM whose endorsement is in order. */
async function begunEnrolment(): Promise<RequestId> {
  const { vault } = served;
  const { name, akName } = { name: 'gpu-3', akName: `000b${'3'.repeat(64)}` };
  const operation = { kind: 'enrol', namespace: PROD, name, akName, ekCertificateDigest: digest, attributes: {}, secretDigest: digest };
  const asked = { operation, kind: 'enrol', namespace: PROD } as const;
  const { row, document } = await signRequest(await vault.as('alice'), asked, vault.clock.now(), 600, vault.vault);
  await vault.stores.unitOfWork.run(async (tx) => {
    await vault.stores.documents.put(tx, document);
    await vault.stores.approvals.insert(tx, row);
  });
  return row.requestId;
}

const digest = 'a'.repeat(64);
/** A body that the form of the route accepts, so that it is the person who is refused. */
const BODIES: Readonly<Record<string, () => unknown>> = {
  createRelease: () => ({ model: 'falcon', version: there['version'], evidence: [] }),
  renewRelease: () => ({ evidence: [] }),
  logIn: () => ({ administrator: 'alice', code: '000000' }),
  stepUp: () => ({ code: '000000' }),
  beginAuthenticator: () => ({ administrator: 'alice' }),
  confirmAuthenticator: () => ({ administrator: 'alice', code: '000000' }),
  addAdministrator: () => ({ name: 'mallory', roles: ['approver'], workstations: [workstationOf('mallory')] }),
  changeAdministrator: () => ({ roles: ['approver'] }),
  createModel: () => ({ name: 'heron', class: 'public' }),
  finishVersion: () => ({ class: 'restricted', objects: [{ path: 'a', size: 1, sha256: digest }], attributes: {} }),
  setAlias: () => ({ versionId: there['version'] }),
  changeClass: () => ({ class: 'public' }),
  proposePolicySet: () => ({ counter: 2, policies: {} }),
  proposeReferenceValues: () => ({ counter: 2, values: [] }),
  proposeTrustAnchors: () => ({ counter: 2, anchors: [] }),
  setDecoy: () => ({ state: 'decoy' }),
  proposeAlertRules: () => ({ counter: 1, rules: {} }),
  proposeAlertDelivery: () => ({ counter: 1, targets: [], heartbeatSeconds: 60 }),
  proposeLogSinks: () => ({ counter: 1, sinks: [] }),
  approveRequest: () => ({ operationDigest: digest }),
  beginEnrolment: () => ({ name: 'gpu-9', attributes: {}, request: captured.enrolment }),
  confirmEnrolment: () => ({ secret: 'AAAA' }),
  enrolTokenRequester: () => ({ name: 'pod-9', attributes: {}, issuer: 'https://issuer.example', subject: 'pod-9' }),
  importCollateral: () => ({ name: 'crl', bytes: 'AAAA' }),
  enrolWorkload: () => ({ name: 'guest-9', attributes: {}, kind: 'tdx', identity: { fact: 'mrtd', value: 'aa'.repeat(48) } }),
  suspendModel: () => ({}),
  rewrapKeys: () => ({}),
  setRecoveryKey: () => ({ keyId: 'a'.repeat(16), publicKey: 'AAAA', shares: 3, needed: 2 }),
  setLogRetention: () => ({ recordDays: 365 }),
  closeLog: () => ({ until: '2026-01-01T00:00:00Z', size: 1, root: digest }),
  setKeyPeriods: () => ({ cryptoperiodDays: 90 }),
};

/** What a person without any role may do: everything about their own session. Anything else answers 403. */
const FOR_EVERYONE: Readonly<Record<string, number>> = { readSession: 200, stepUp: 401 };
/** Ends the session, so it comes last, by itself. */
const LAST = 'logOut';
/** Asked with a TLS key alone: what a key that is nobody's is told. */
const FOR_ANY_KEY: Readonly<Record<string, readonly [status: number, code: string]>> = {
  createChallenge: [201, ''],
  createRelease: [403, 'evidence_missing'],
  renewRelease: [403, 'release_key_mismatch'],
  readObject: [403, 'release_key_mismatch'],
  readReceipt: [403, 'release_key_mismatch'],
  endRelease: [403, 'release_key_mismatch'],
  logIn: [401, 'login_refused'],
  beginAuthenticator: [403, 'claim_refused'],
  confirmAuthenticator: [403, 'claim_refused'],
};

interface Who {
  readonly as?: IssuedCertificate;
  readonly withoutCertificate?: boolean;
  readonly headers?: Record<string, string>;
}

async function ask(plane: Plane, route: Route, who: Who): Promise<Answer & { code: string }> {
  const path = route.path.replace(/[:*](\w+)/g, (_, name: string) => {
    const value = thereFor[route.operationId]?.[name] ?? there[name];
    if (value === undefined) throw new Error(`nothing stands for the parameter ${name} of ${route.path}`);
    return value;
  });
  const { headers = {}, ...by } = who;
  const type = { 'Content-Type': route.body === 'bytes' ? 'application/octet-stream' : 'application/json' };
  const answer = await served.ask(plane, path, {
    method: route.method.toUpperCase(),
    headers: { ...headers, ...(route.body !== undefined && type) },
    ...(route.body !== undefined && { body: route.body === 'bytes' ? Buffer.of(1) : JSON.stringify(BODIES[route.operationId]?.()) }),
    ...by,
  });
  return { ...answer, code: String(answer.json['code'] ?? '') };
}

const bearer = (session: string) => ({ Authorization: `Bearer ${session}` });
/** By what a refusal must be: a known code, and exactly one of the two statuses. */
function expectRefused(route: Route, answer: Answer & { code: string }, ...codes: readonly string[]): void {
  expect([route.operationId, answer.status === 401 || answer.status === 403]).toEqual([route.operationId, true]);
  expect(isErrorCode(answer.code)).toBe(true);
  expect([route.operationId, codes.includes(answer.code) ? 'as expected' : answer.code]).toEqual([route.operationId, 'as expected']);
}

/** After every walk somebody who may is served, on both planes. */
async function expectServed(): Promise<void> {
  const release = await served.ask('data', `/v1/namespaces/${PROD}/releases`, {
    method: 'POST',
    body: JSON.stringify(await served.releaseBody('falcon', version.versionId)),
    headers: { 'Content-Type': 'application/json' },
  });
  expect(release.status).toBe(201);
  const models = await served.ask('admin', `/v1/namespaces/${PROD}/models`, { headers: await served.session() });
  expect(models.status).toBe(200);
}

const rows = () =>
  ['models', 'versions', 'documents', 'document_slots', 'approvals', 'subjects', 'stops', 'administrators', 'sessions', 'releases'].map(
    (table) => [table, served.vault.row(`SELECT count(*) AS n FROM ${table}`)['n']],
  );

const routesOf = (plane: Plane, ...callers: readonly Route['caller'][]) =>
  served.routes[plane].filter(({ caller }) => callers.includes(caller));

describe('every route', () => {
  test('that takes a body has one here, and every route is asked in some way', () => {
    const all = [...served.routes.data, ...served.routes.admin];
    const withBody = all.filter(({ body }) => body !== undefined && body !== 'bytes').map(({ operationId }) => operationId);
    expect(Object.keys(BODIES).toSorted()).toEqual(withBody.toSorted());
    const anyKey = all.filter(({ caller }) => caller === 'machine' || caller === 'workstation').map(({ operationId }) => operationId);
    expect(Object.keys(FOR_ANY_KEY).toSorted()).toEqual(anyKey.toSorted());
  });

  test.each(['data', 'admin'] as const)('of the %s plane without a client certificate: 401, whatever session is shown', async (plane) => {
    for (const headers of [{}, await served.session()]) {
      for (const route of routesOf(plane, 'machine', 'workstation', 'session'))
        expectRefused(route, await ask(plane, route, { withoutCertificate: true, headers }), 'client_certificate_missing');
    }
    await expectServed();
  });

  test.each(['data', 'admin'] as const)('of the %s plane that asks for a TLS key alone tells nobody’s key nothing', async (plane) => {
    const before = rows().filter(([table]) => table !== 'documents');
    for (const headers of [{}, await served.session()]) {
      for (const route of routesOf(plane, 'machine', 'workstation')) {
        const answer = await ask(plane, route, { as: stranger, headers });
        expect([route.operationId, answer.status, answer.code]).toEqual([route.operationId, ...(FOR_ANY_KEY[route.operationId] ?? [])]);
      }
    }
    expect(rows().filter(([table]) => table !== 'documents')).toEqual(before);
    await expectServed();
  });

  test('of a session without one, with a wrong one, or with the scheme of another: 401', async () => {
    const wrong = [{}, bearer('A'.repeat(43)), bearer(''), { Authorization: 'Basic YTpi' }];
    for (const headers of wrong)
      for (const route of routesOf('admin', 'session')) expectRefused(route, await ask('admin', route, { headers }), 'session_missing');
    await expectServed();
  });

  test('of a session with one of another workstation: 403', async () => {
    const alices = await served.session();
    for (const [as, headers] of [
      [stranger, alices], // nobody's key
      [workstation, alices], // another administrator's
      [undefined, bearer(token)], // nina's session from alice's workstation
    ] as const) {
      const who = { ...(as && { as }), headers };
      for (const route of routesOf('admin', 'session')) expectRefused(route, await ask('admin', route, who), 'workstation_unknown');
    }
    await expectServed();
  });

  test('of a session by a person without any role: 403, nothing changes, and each denial is on record', async () => {
    const before = rows();
    const who = { as: workstation, headers: bearer(token) };
    for (const route of routesOf('admin', 'session')) {
      const { operationId } = route;
      if (operationId === LAST) continue;
      const denials = served.vault.records('admin.denied').length;
      const answer = await ask('admin', route, who);
      const allowed = FOR_EVERYONE[operationId];
      if (allowed !== undefined) {
        expect([operationId, answer.status]).toEqual([operationId, allowed]);
        continue;
      }
      expectRefused(route, answer, 'action_denied');
      expect([operationId, served.vault.records('admin.denied').length]).toEqual([operationId, denials + 1]);
    }
    expect(rows()).toEqual(before);
    const last = routesOf('admin', 'session').find(({ operationId }) => operationId === LAST);
    if (last === undefined) throw new Error(`there is no ${LAST}`);
    expect((await ask('admin', last, who)).status).toBe(204);
    expectRefused(last, await ask('admin', last, who), 'session_missing');
    await expectServed();
  });
});

test('a slot that nothing can be in force in is document_unknown, to who may read the others', async () => {
  for (const slot of ['vault', 'administrator', 'x', '__proto__']) {
    const answer = await served.ask('admin', `/v1/namespaces/${PROD}/documents/${slot}`, { headers: await served.session() });
    expect([slot, answer.status, answer.json['code']]).toEqual([slot, 404, 'document_unknown']);
  }
  await expectServed();
});
