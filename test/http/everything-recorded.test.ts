/**
 * "Everything is recorded": every route of both planes, taken from the route tables, asked by somebody who may, and the record that says so found in the log; and
 * every command of `wv`, with where its record comes from. A route or a command without a row here fails this file.
 */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Command } from 'commander';
import { RECORD_TYPES, type RecordType } from '../../src/audit/record.ts';
import { createProgram } from '../../src/cli/commands.ts';
import { sha256Hex } from '../../src/domain/bytes.ts';
import type { Route } from '../../src/http/route.ts';
import { requestApproval } from '../../src/vault/approve.ts';
import { marker, PROD, type Published, workstationOf } from '../vault/test-vault.ts';
import { type Answer, type Plane, type Served, startServing } from './serving.ts';

/** `none`: nothing happens that a record could be of, and why. `shown`: what it takes is not here; that test looks for the record. */
type Recorded = RecordType | { readonly none: string } | { readonly shown: string };

const NOBODY = { none: 'anybody is told the same' };
const RECORD_OF: Readonly<Record<string, Recorded>> = {
  // Both planes.
  readLiveness: NOBODY,
  readReadiness: NOBODY,
  readOpenApi: NOBODY,
  // The data plane.
  createChallenge: { none: 'a challenge grants nothing; what is asked with it is on record' },
  createRelease: 'release.begin',
  renewRelease: 'release.renewed',
  readObject: { none: 'every byte is in the release.end of its release; a refused read is object.denied' },
  readReceipt: 'log.read',
  endRelease: 'release.end',
  // Sessions and people.
  logIn: 'admin.login',
  readSession: { none: 'whoever shows a session sees whose it is' },
  logOut: 'admin.logout',
  stepUp: 'admin.login',
  beginAuthenticator: { shown: 'test/vault/claim.test.ts' },
  confirmAuthenticator: { shown: 'test/vault/claim.test.ts' },
  listAdministrators: 'metadata.read',
  addAdministrator: 'approval.requested',
  changeAdministrator: 'approval.requested',
  removeAdministrator: 'approval.requested',
  resetAuthenticator: 'approval.requested',
  eraseAdministrator: { shown: 'test/vault/erase-person.test.ts' },
  // Models.
  createModel: 'model.created',
  listModels: 'metadata.read',
  readModel: 'metadata.read',
  listVersions: 'metadata.read',
  startVersion: 'version.started',
  putObject: 'object.uploaded',
  readUploaded: 'metadata.read',
  finishVersion: 'version.published',
  promoteVersion: { shown: 'test/vault/alias.test.ts' },
  destroyVersion: { shown: 'test/vault/destroy-version.test.ts' },
  keepVersion: { shown: 'test/vault/destroy-version.test.ts' },
  readAlias: 'metadata.read',
  setAlias: 'approval.requested',
  changeClass: 'approval.requested',
  // Documents and requests.
  readDocument: 'metadata.read',
  proposePolicySet: 'approval.requested',
  proposeReferenceValues: 'approval.requested',
  proposeTrustAnchors: 'approval.requested',
  importCollateral: { shown: 'test/vault/collateral.test.ts' },
  listCollateral: 'metadata.read',
  listRequests: 'metadata.read',
  approveRequest: 'approval.refused',
  cancelRequest: 'approval.cancelled',
  // Requesters.
  listRequesters: 'metadata.read',
  beginEnrolment: { shown: 'test/vault/enrol.test.ts' },
  confirmEnrolment: { shown: 'test/vault/enrol.test.ts' },
  enrolTokenRequester: { shown: 'test/vault/jwt-release.test.ts' },
  enrolWorkload: { shown: 'test/vault/workload.test.ts' },
  blockRequester: 'stop.placed',
  // Stops.
  listStops: 'metadata.read',
  listVaultStops: 'metadata.read',
  suspendModel: 'stop.placed',
  lockdownNamespace: 'stop.placed',
  lockdownVault: 'stop.placed',
  liftStop: 'approval.requested',
  // Keys.
  listKeys: 'metadata.read',
  readKeys: 'metadata.read',
  readRecoveryKey: { shown: 'test/keys/recovery.test.ts' },
  rewrapKeys: { shown: 'test/vault/rotate.test.ts' },
  createKey: 'approval.requested',
  rotateKey: 'approval.requested',
  setKeyPeriods: { shown: 'test/vault/key-life.test.ts' },
  suspendKey: { shown: 'test/vault/key-life.test.ts' },
  resumeKey: { shown: 'test/vault/key-life.test.ts' },
  compromiseKey: { shown: 'test/vault/key-life.test.ts' },
  destroyKey: { shown: 'test/vault/key-life.test.ts' },
  keepKey: { shown: 'test/vault/key-life.test.ts' },
  setRecoveryKey: { shown: 'test/keys/recovery.test.ts' },
  withdrawRecoveryKey: { shown: 'test/keys/recovery.test.ts' },
  // Alerts.
  listAlerts: 'log.read',
  readAlert: { shown: 'test/vault/alerts.test.ts' },
  proposeAlertRules: { shown: 'test/vault/alerts.test.ts' },
  proposeAlertDelivery: { shown: 'test/vault/alerts.test.ts' },
  setDecoy: { shown: 'test/vault/decoys.test.ts' },
  // Sinks.
  readLogSinks: 'metadata.read',
  proposeLogSinks: { shown: 'test/vault/log-sinks.test.ts' },
  // The log.
  readCheckpoint: 'log.read',
  readWitnessedCheckpoint: { shown: 'test/e2e/release.test.ts' },
  readTile: 'log.read',
  searchLog: 'log.read',
  readRecord: 'log.read',
  readLogTotals: 'log.read',
  readSearchIndex: 'metadata.read',
  rebuildSearchIndex: 'log.read',
  readLogRetention: { none: 'numbers of the policy in force, and nothing of a record' },
  setLogRetention: { shown: 'test/vault/prune-log.test.ts' },
  closeLog: { shown: 'test/vault/close-log.test.ts' },
  readNamespaceCheckpoint: 'log.read',
  readNamespaceWitnessedCheckpoint: { shown: 'test/e2e/release.test.ts' },
  readNamespaceTile: { none: 'hashes tell nothing of a record' },
  searchNamespaceLog: 'log.read',
  readNamespaceRecord: 'log.read',
  readNamespaceLogTotals: 'log.read',
};

/** Asked last, in this order: what they end, the others need. */
const LAST = ['endRelease', 'suspendModel', 'liftStop', 'lockdownNamespace', 'lockdownVault', 'logOut'];

let served: Served;
let version: Published;
let waiting: Awaited<ReturnType<typeof requestApproval>>;
const there: Record<string, string> = {};
const thereFor: Record<string, Record<string, string>> = {};

beforeAll(async () => {
  served = await startServing();
  const { vault } = served;
  version = await vault.publish('falcon', 'restricted', { 'weights.bin': marker(1000) });
  const alias = { modelId: version.modelId, versionId: version.versionId, versionDigest: version.versionDigest };
  await vault.twoPeople({ kind: 'alias', namespace: PROD, name: 'production', counter: 1, ...alias });
  while ((await vault.node.sequencer.tick()) === 'published');
  const granted = await vault.granted({ machine: served.machine, version });
  while ((await vault.node.sequencer.tick()) === 'published');
  await vault.machine('gpu-2');
  const { versionId: begun } = await startedVersion();
  await vault.stepUp('alice');
  waiting = await requestApproval(await vault.as('alice'), { kind: 'policy-set', namespace: PROD, counter: 2, policies: {} }, vault.vault);
  Object.assign(there, {
    ...{ namespace: PROD, model: 'falcon', name: 'gpu-2', alias: 'production', version: version.versionId },
    ...{ release: granted.permit.releaseId, request: waiting.requestId, keyVersion: '1', key: 'kek-default', slot: 'policy-set' },
    ...{ path: 'a/b.bin', object: 'weights.bin', tile: 'entries/000.p/1', stop: '' },
    record: String(vault.records().find((one) => one.namespace === PROD)?.recordId),
  });
  const tile = vault.row("SELECT path FROM log_tiles WHERE path LIKE 'tile/entries/%' ORDER BY path LIMIT 1");
  there['tile'] = String(tile['path']).slice('tile/'.length);
  for (const operation of ['changeAdministrator', 'removeAdministrator', 'resetAuthenticator']) thereFor[operation] = { name: 'carol' };
  for (const operation of ['putObject', 'readUploaded', 'finishVersion']) thereFor[operation] = { version: begun };
});
afterAll(() => served.stop());

async function startedVersion() {
  const answer = await served.ask('admin', `/v1/namespaces/${PROD}/models/falcon/versions`, {
    method: 'POST',
    headers: await served.session(),
  });
  return { versionId: String(answer.json['versionId']) };
}

const BYTES = marker(10);
const upload = () => ({ path: 'a/b.bin', size: BYTES.length, sha256: sha256Hex(BYTES) });
const BODIES: Readonly<Record<string, () => unknown>> = {
  createRelease: () => served.releaseBody('falcon', version.versionId),
  renewRelease: async () => {
    const { challengeId, evidence } = await served.releaseBody('falcon', version.versionId);
    return { challengeId, evidence };
  },
  logIn: async () => ({ administrator: 'alice', code: await nextCode() }),
  stepUp: async () => ({ code: await nextCode() }),
  addAdministrator: () => ({ name: 'erin', roles: ['approver'], workstations: [workstationOf('erin')] }),
  changeAdministrator: () => ({ roles: ['approver'] }),
  createModel: () => ({ name: 'heron', class: 'public' }),
  finishVersion: () => ({ class: 'restricted', objects: [upload()], attributes: {} }),
  setAlias: () => ({ versionId: version.versionId }),
  changeClass: () => ({ class: 'public' }),
  proposePolicySet: () => ({ counter: 2, policies: {} }),
  proposeReferenceValues: () => ({ counter: 2, values: [] }),
  proposeTrustAnchors: () => ({ counter: 2, anchors: [] }),
  approveRequest: () => ({ operationDigest: waiting.operationDigest }),
  suspendModel: () => ({}),
};

async function nextCode(): Promise<string> {
  served.vault.clock.advance(30);
  return served.vault.code('alice');
}

async function ask(plane: Plane, route: Route): Promise<Answer> {
  const path = route.path.replace(/[:*](\w+)/g, (_, name: string) => {
    const value = thereFor[route.operationId]?.[name] ?? there[name];
    if (value === undefined) throw new Error(`nothing stands for the parameter ${name} of ${route.path}`);
    return value;
  });
  const type = { 'Content-Type': route.body === 'bytes' ? 'application/octet-stream' : 'application/json' };
  const headers = plane === 'admin' && route.caller === 'session' ? await served.session() : {};
  const body = route.body === 'bytes' ? BYTES : JSON.stringify(await BODIES[route.operationId]?.());
  const asking = { method: route.method.toUpperCase(), headers: { ...headers, ...(route.body !== undefined && type) } };
  return served.ask(plane, path, route.body === undefined ? asking : { ...asking, body });
}

/** Asks, and once more after a fresh code where one is needed. */
async function steppedUp(plane: Plane, route: Route): Promise<Answer> {
  const answer = await ask(plane, route);
  if (answer.json['code'] !== 'step_up_required') return answer;
  const headers = { ...(await served.session()), 'Content-Type': 'application/json' };
  await served.ask('admin', '/v1/session/step-up', { method: 'POST', headers, body: JSON.stringify({ code: await nextCode() }) });
  return ask(plane, route);
}

const everyRoute = () => (['data', 'admin'] as const).flatMap((plane) => served.routes[plane].map((route) => ({ plane, route })));

test('every route has its row, and every row its route', () => {
  const routes = new Set(everyRoute().map(({ route }) => route.operationId));
  expect(Object.keys(RECORD_OF).toSorted()).toEqual([...routes].toSorted());
  for (const recorded of Object.values(RECORD_OF))
    if (typeof recorded === 'object' && 'shown' in recorded)
      expect([recorded.shown, existsSync(new URL(`../../${recorded.shown}`, import.meta.url))]).toEqual([recorded.shown, true]);
});

test('every route that somebody who may asks leaves the record of its type, and one that reads or refuses leaves no release', async () => {
  const wanted = everyRoute().filter(({ route }) => typeof RECORD_OF[route.operationId] === 'string');
  const rank = ({ route }: { route: Route }) => LAST.indexOf(route.operationId) + (route.method === 'get' ? -1_000 : 0);
  const missing: string[] = [];
  for (const { plane, route } of wanted.toSorted((one, other) => rank(one) - rank(other))) {
    const { vault } = served;
    const before = vault.records().length;
    const answer = await steppedUp(plane, route);
    const fresh = vault.records().slice(before);
    const type = RECORD_OF[route.operationId];
    const found = fresh.some((record) => record.type === type);
    if (!found)
      missing.push(
        `${route.operationId}: ${answer.status} ${String(answer.json['code'] ?? '')}, [${fresh.map((one) => one.type).join(', ')}]`,
      );
    if (route.operationId === 'suspendModel') there['stop'] = String(answer.json['stopId']);
    if (type === 'metadata.read' || type === 'log.read')
      expect(fresh.filter(({ type: other }) => other.startsWith('release.'))).toEqual([]);
  }
  expect(missing).toEqual([]);
});

/** Where the record of a command comes from: routes it calls, or a record that it writes itself; or why there is none. */
const HERE = { none: 'it works on files of whoever runs it' };
const COMMANDS: Readonly<Record<string, readonly string[] | { readonly none: string }>> = {
  init: ['vault.initialized'],
  serve: ['vault.started', 'vault.stopped'],
  keeper: { none: 'it holds the HSM for a vault, whose records say what it was asked' },
  doctor: { none: 'it reads as whoever owns the files, and writes nothing' },
  login: ['logIn'],
  logout: ['logOut'],
  whoami: ['readSession'],
  'models list': ['listModels'],
  'models versions': ['listVersions'],
  'models show': ['readModel'],
  'models decoy': ['setDecoy'],
  publish: ['createModel', 'startVersion', 'putObject', 'finishVersion'],
  requests: ['listRequests'],
  approve: ['approveRequest'],
  cancel: ['cancelRequest'],
  'admin list': ['listAdministrators'],
  'admin add': ['addAdministrator'],
  'admin change': ['changeAdministrator'],
  'admin remove': ['removeAdministrator'],
  'admin erase': ['eraseAdministrator'],
  'admin reset-authenticator': ['resetAuthenticator'],
  'admin kit': HERE,
  'admin claim': ['beginAuthenticator'],
  'admin confirm': ['confirmAuthenticator'],
  'attester init': HERE,
  'attester add': HERE,
  'attester request': HERE,
  'attester activate': HERE,
  'attester capture': HERE,
  fetch: ['createRelease', 'readReceipt', 'endRelease'],
  'policy set': ['proposePolicySet'],
  'policy check': HERE,
  'policy test': HERE,
  'policy who-can': ['listRequesters', 'readDocument'],
  'policy show': ['readDocument'],
  'policy diff': ['readDocument'],
  promote: ['promoteVersion'],
  'alias show': ['readAlias'],
  'alias set': ['setAlias'],
  'class change': ['changeClass'],
  destroy: ['destroyVersion', 'keepVersion'],
  'keys ls': ['listKeys'],
  'keys show': ['readKeys'],
  'keys create': ['createKey'],
  'keys rotate': ['rotateKey'],
  'keys periods': ['setKeyPeriods'],
  'keys migrate': ['createKey'],
  'keys suspend': ['suspendKey'],
  'keys resume': ['resumeKey'],
  'keys compromised': ['compromiseKey'],
  'keys destroy': ['destroyKey'],
  'keys keep': ['keepKey'],
  'keys rewrap': ['rewrapKeys'],
  'keys erase': ['key.destroyed', 'version.destroyed'],
  'keys rotate-signing': ['signing.rotated'],
  'keys ceremony make': HERE,
  'keys ceremony check': HERE,
  'keys ceremony status': ['readRecoveryKey'],
  'keys ceremony set': ['setRecoveryKey'],
  'keys ceremony withdraw': ['withdrawRecoveryKey'],
  'keys ceremony restore': ['vault.recovered'],
  'reference set': ['proposeReferenceValues'],
  'reference import': HERE,
  'anchors set': ['proposeTrustAnchors'],
  'evidence check': HERE,
  'evidence show': HERE,
  'evidence collateral import': ['importCollateral'],
  'evidence collateral list': ['listCollateral'],
  'enrol begin': ['beginEnrolment'],
  'enrol confirm': ['confirmEnrolment'],
  'enrol token': ['enrolTokenRequester'],
  'enrol workload': ['enrolWorkload'],
  block: ['blockRequester'],
  suspend: ['suspendModel'],
  lockdown: ['lockdownNamespace', 'lockdownVault'],
  stops: ['listStops', 'listVaultStops'],
  lift: ['liftStop'],
  backup: ['log.read'],
  restore: ['vault.restored'],
  'log export': ['readCheckpoint', 'readTile'],
  'log verify-copy': HERE,
  'log ls': ['searchLog'],
  'log search': ['searchLog'],
  'log tail': ['searchLog'],
  'log stats': ['readLogTotals'],
  'log index': ['readSearchIndex', 'rebuildSearchIndex'],
  'log retention': ['readLogRetention', 'setLogRetention'],
  'log show': ['readRecord'],
  'log verify': HERE,
  'log prove': HERE,
  'log check': HERE,
  'alerts ls': ['listAlerts'],
  'alerts show': ['readAlert'],
  'alerts set': ['proposeAlertRules'],
  'alerts deliver': ['proposeAlertDelivery'],
  'log sinks list': ['readLogSinks'],
  'log sinks set': ['readDocument', 'proposeLogSinks'],
  'log mirror': ['readCheckpoint', 'readTile'],
  'log close': ['readCheckpoint', 'readTile', 'searchLog', 'closeLog'],
  'alerts test': HERE,
  'alerts backtest': ['readCheckpoint', 'readTile'],
  'receipt verify': HERE,
  'witness init': { none: 'it belongs to other people, and knows no vault' },
  'witness watch': { none: 'it belongs to other people, and knows no vault' },
  'witness serve': { none: 'it belongs to other people, and knows no vault' },
  'sealed open': HERE,
  'sealed seal': HERE,
  'sealed inspect': HERE,
  completion: HERE,
};

test('every command of wv says where its record comes from', async () => {
  const program = await createProgram();
  const leaves = (command: Command, above: string): string[] => {
    const path = `${above}${command.name()}`;
    return command.commands.length === 0 ? [path] : command.commands.flatMap((one) => leaves(one, `${path} `));
  };
  const all = program.commands.flatMap((one) => leaves(one, ''));
  expect(all.filter((path) => !Object.hasOwn(COMMANDS, path))).toEqual([]);
  expect(Object.keys(COMMANDS).filter((path) => !all.includes(path))).toEqual([]);
  const known = new Set<string>([...Object.keys(RECORD_OF), ...RECORD_TYPES]);
  for (const [path, sources] of Object.entries(COMMANDS))
    if (Array.isArray(sources)) expect([path, sources.filter((source) => !known.has(source))]).toEqual([path, []]);
});
