/** OCSF 1.8.0 events. Where a member of ours has no place in the class, `raw_data` has the whole leaf, and `unmapped.log` where it stands in the tree. */
import { fromBase64, sha256Hex, toBase64 } from '../../domain/bytes.ts';
import { safeJson } from '../../domain/json.ts';
import { type Json, numberAt, objectAt, saidBy, textAt, textsAt } from '../said.ts';
import { type CopiedRecord, canonicalSaid, indexAt, leafOfText } from './copied-record.ts';
import type { LogFormat } from './format.ts';
import { OCSF_CLASSES, OCSF_KINDS, OCSF_UNKNOWN, type OcsfClass, type OcsfKind } from './ocsf-classes.ts';

const VERSION = '1.8.0';
const PRODUCT = { name: 'Weight Vault', vendor_name: 'Weight Vault' };
const SHA_256 = { algorithm: 'SHA-256', algorithm_id: 3 };

export const ocsf: LogFormat = {
  write: (record) => safeJson(ocsfEvent(record)),
  read: (line) => {
    const event = saidBy(Buffer.from(line));
    const log = objectAt(event, 'unmapped', 'log');
    const [origin, index, leafHash] = [textAt(log, 'origin'), indexAt(log), textAt(log, 'leafHash')];
    const [raw, base64] = [textAt(event, 'raw_data'), textAt(log, 'leaf')];
    if (origin === undefined || index === undefined || leafHash === undefined) return undefined;
    if (base64 !== undefined) return { origin, index, leafHash, leaf: fromBase64(base64) };
    return raw === undefined ? undefined : { origin, index, leafHash, leaf: leafOfText(raw) };
  },
};

/** One event; every member is one of its class, whatever the leaf says. */
export function ocsfEvent({ leaf, ...log }: CopiedRecord): object {
  const said = canonicalSaid(leaf);
  const type = textAt(said, 'type') ?? 'unknown';
  const [className, activity] = kindOf(said, type);
  const classUid = OCSF_CLASSES[className];
  const raw = Buffer.from(leaf).toString('utf8');
  return {
    activity_id: activity,
    ...(activity === 99 && { activity_name: type }),
    category_uid: Math.floor(classUid / 1000),
    class_uid: classUid,
    type_uid: classUid * 100 + activity,
    time: timeOf(said),
    ...resultOf(said),
    severity_id: severityOf(type, textAt(said, 'outcome')),
    message: [type, textAt(said, 'reason'), textAt(said, 'detail')].filter((part) => part !== undefined).join(' '),
    metadata: metadataOf(said, type, log, className),
    ...aboutOf(className, said, type),
    ...(said === undefined ? {} : { raw_data: raw, raw_data_size: leaf.length, raw_data_hash: { ...SHA_256, value: sha256Hex(leaf) } }),
    unmapped: { log: said === undefined ? { ...log, leaf: toBase64(leaf) } : log },
  };
}

/** Documents about people are accounts; a refused login is an authentication. */
function kindOf(said: Json | undefined, type: string): OcsfKind {
  if (type === 'document.activated' && textAt(said, 'document', 'kind') === 'administrator') return ['account', 99];
  if (type === 'admin.denied' && textAt(said, 'actor', 'administratorId') === undefined) return ['authentication', 1];
  return Object.hasOwn(OCSF_KINDS, type) ? OCSF_KINDS[type as keyof typeof OCSF_KINDS] : OCSF_UNKNOWN; // just looked up
}

function metadataOf(said: Json | undefined, type: string, log: Omit<CopiedRecord, 'leaf'>, className: OcsfClass): object {
  return defined({
    version: VERSION,
    product: PRODUCT,
    profiles: className === 'fileHosting' ? ['security_control'] : undefined,
    log_name: log.origin,
    sequence: log.index,
    uid: textAt(said, 'recordId'),
    event_code: type,
    original_time: textAt(said, 'time'),
    correlation_uid: textAt(said, 'release', 'releaseId') ?? textAt(said, 'request', 'requestId'),
    tenant_uid: textAt(said, 'namespace'),
  });
}

function timeOf(said: Json | undefined): number {
  const time = Date.parse(textAt(said, 'time') ?? '');
  return Number.isSafeInteger(time) ? time : 0;
}

function resultOf(said: Json | undefined): object {
  const outcome = textAt(said, 'outcome');
  if (outcome === undefined) return { status_id: 0 };
  const good = outcome === 'permit' || outcome === 'success';
  return defined({ status_id: good ? 1 : 2, status_code: textAt(said, 'reason'), status_detail: textAt(said, 'detail') });
}

const CRITICAL: ReadonlySet<string> = new Set(['object.integrity', 'decoy.touched', 'log.halted', 'log.conflict']);

/** 1 informational, 3 medium, 4 high, 5 critical. */
function severityOf(type: string, outcome: string | undefined): number {
  if (CRITICAL.has(type)) return 5;
  if (type === 'alert.raised') return 4;
  return outcome === 'deny' || outcome === 'failure' ? 3 : 1;
}

/** What the class asks for besides what all events have. */
function aboutOf(className: OcsfClass, said: Json | undefined, type: string): object {
  const user = userOf(said);
  const [actor, src_endpoint] = [{ user }, endpointOf(said)];
  switch (className) {
    case 'fileHosting':
      return { actor, src_endpoint, file: fileOf(said), ...controlOf(said) };
    case 'datastore':
      return { actor, src_endpoint, databucket: { name: keyOf(said) ?? 'keys', type_id: 99, type: 'Wrapped key' } };
    case 'api':
      return { actor, src_endpoint, api: { operation: textAt(said, 'detail') ?? type } };
    case 'authentication':
      return { user, actor, src_endpoint, service: { name: 'admin plane' }, is_mfa: true };
    case 'account':
      return { actor, src_endpoint, user: { uid: textAt(said, 'document', 'item') ?? user.uid, type_id: 2 } };
    case 'entity':
      return { actor, src_endpoint, entity: entityOf(said, type) };
    case 'eventLog':
      return { actor, src_endpoint, log_name: 'access log' };
    case 'lifecycle':
      return { app: { name: 'Weight Vault', uid: textAt(said, 'vaultId') ?? 'unknown' } };
    case 'finding':
      return { finding_info: { uid: textAt(said, 'recordId') ?? 'unknown', title: textAt(said, 'alert', 'rule') ?? type } };
  }
}

function userOf(said: Json | undefined): { readonly uid: string; readonly type_id: number } {
  const [requester, person] = [textAt(said, 'actor', 'subjectId'), textAt(said, 'actor', 'administratorId')];
  const kind = textAt(said, 'actor', 'kind');
  const key = textAt(said, 'actor', 'spkiDigest') ?? textAt(said, 'actor', 'workstation');
  const typeId = kind === 'administrator' ? 2 : kind === 'requester' ? 4 : 3;
  return { uid: requester ?? person ?? key ?? 'system', type_id: typeId };
}

function endpointOf(said: Json | undefined): object {
  return { uid: textAt(said, 'actor', 'spkiDigest') ?? textAt(said, 'actor', 'workstation') ?? textAt(said, 'node') ?? 'unknown' };
}

function fileOf(said: Json | undefined): object {
  const path = textAt(said, 'object', 'path');
  const version = textAt(said, 'object', 'versionId');
  const digest = textAt(said, 'object', 'versionDigest');
  const name = path?.split('/').at(-1) ?? version ?? textAt(said, 'object', 'requested', 'model') ?? 'unknown';
  return defined({
    name,
    path,
    type_id: path === undefined ? 2 : 1,
    uid: version,
    size: numberAt(said, 'release', 'bytes'),
    hashes: digest === undefined ? undefined : [{ ...SHA_256, value: digest }],
  });
}

/** Profile security_control: the decision, and the policies that determined it. */
function controlOf(said: Json | undefined): object {
  const denied = textAt(said, 'outcome') === 'deny';
  const policies = textsAt(said, 'decision', 'determining').map((uid) => ({ decision: denied ? 'deny' : 'permit', policy: { uid } }));
  return { action_id: denied ? 2 : 1, disposition_id: denied ? 2 : 1, ...(policies.length > 0 && { authorizations: policies }) };
}

function entityOf(said: Json | undefined, type: string): object {
  const document = textAt(said, 'document', 'kind');
  const uid =
    keyOf(said) ??
    textAt(said, 'stop', 'target') ??
    textAt(said, 'operation', 'requestId') ??
    textAt(said, 'object', 'versionId') ??
    textAt(said, 'object', 'modelId') ??
    textAt(said, 'document', 'digest');
  return {
    uid: uid ?? 'unknown',
    type_id: document === 'policy-set' ? 5 : 99,
    type: textAt(said, 'operation', 'kind') ?? document ?? type.split('.')[0] ?? type,
  };
}

function keyOf(said: Json | undefined): string | undefined {
  const id = textAt(said, 'key', 'id');
  return id === undefined ? undefined : `${id}/${numberAt(said, 'key', 'version') ?? ''}`;
}

function defined(members: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}
