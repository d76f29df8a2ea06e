/** The ceremony: once in the life of a vault. Keys are made in the HSM, administrators are enrolled, then the door is closed for good. */
import { createAccessLog } from '../audit/access-log.ts';
import { loadRuleSet } from '../audit/alerts/rule-set.ts';
import { signDocument } from '../documents/document.ts';
import type { SignedDocument, SlotKind } from '../documents/port.ts';
import { toBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import type { SpkiDigest } from '../domain/evidence.ts';
import { type AdministratorId, type Digest, type Incarnation, type KeyId, newId, SYSTEM, type VaultId } from '../domain/ids.ts';
import { newTotpSeed, TOTP_ISSUER, totpEnrolmentUri } from '../identity/totp.ts';
import type { KeyInfo, KeyProvider } from '../keys/port.ts';
import { encodeWrappedKey, totpSeedAad } from '../keys/wrapped-key.ts';
import { SCHEMA_DIGEST, validatePolicySet } from '../policy/policy-set.ts';
import type { Stores } from '../stores/port.ts';
import { slotOf } from './documents.ts';

export const KEK = { id: 'kek-default' as KeyId, version: 1 };
export const CATALOGUE_KEY = { id: 'catalogue' as KeyId, version: 1 };
export const LOG_KEY = { id: 'access-log' as KeyId, version: 1 };

export interface CeremonyAdministrator {
  readonly name: string;
  readonly roles: readonly string[];
  readonly workstation: SpkiDigest;
}

export interface CeremonyInputs {
  /** Name of the access log: a schema-less URL (C2SP tlog-checkpoint). */
  readonly origin: string;
  readonly administrators: readonly CeremonyAdministrator[];
  /** The vault's own policy set: what administrators may do. It is in force from the start; nothing else is. */
  readonly policies: Readonly<Record<string, string>>;
  /** Alert rules (Sigma files) that are in force from the start. */
  readonly alertRules?: Readonly<Record<string, string>>;
  readonly now: Date;
}

export interface CeremonyResult {
  readonly vaultId: VaultId;
  readonly vaultDocument: Digest;
  readonly logPublicKey: Uint8Array;
  /** Shown once, then known only to the HSM and the administrators' apps. */
  readonly enrolments: ReadonlyArray<{ readonly administrator: string; readonly uri: string }>;
}

type Ports = { readonly keys: KeyProvider; readonly stores: Stores };

/** Throws `already_initialized` when a vault was made with this database, `key_exists` when with this token: neither is used twice. */
export async function ceremony(inputs: CeremonyInputs, ports: Ports): Promise<CeremonyResult> {
  assertInputs(inputs);
  validatePolicySet(inputs.policies);
  if (inputs.alertRules !== undefined) loadRuleSet(inputs.alertRules);
  const used = await ports.stores.unitOfWork.run((tx) => ports.stores.identity.administrators(tx));
  if (used.length > 0) throw new VaultError('already_initialized');

  const { wrap } = await ports.keys.generate(KEK, 'kek');
  const catalogue = await ports.keys.generate(CATALOGUE_KEY, 'catalogue');
  const log = await ports.keys.generate(LOG_KEY, 'log');
  const sign = (message: Uint8Array) => ports.keys.sign(CATALOGUE_KEY, message);

  const vaultId = newId<VaultId>(inputs.now);
  const head = { v: 1 as const, vaultId, createdAt: inputs.now.toISOString() };
  const people = [];
  for (const administrator of inputs.administrators) people.push(await enrolAdministrator(administrator, head, sign, ports.keys));
  const policySet = await signDocument(
    'policy-set',
    { ...head, namespace: SYSTEM, counter: 1, schemaDigest: SCHEMA_DIGEST, policies: { ...inputs.policies }, consents: [] },
    sign,
  );
  const rules = inputs.alertRules && { ...head, namespace: SYSTEM, counter: 1, rules: { ...inputs.alertRules }, consents: [] };
  const alertRules = rules && (await signDocument('alert-rules', rules, sign));
  const vault = await signDocument(
    'vault',
    {
      ...head,
      origin: inputs.origin,
      kek: { ...KEK, ...(wrap && { wrap: { ...wrap } }) },
      catalogueKey: { ...CATALOGUE_KEY, publicKey: publicKeyOf(catalogue) },
      logKey: { ...LOG_KEY, publicKey: publicKeyOf(log) },
      administrators: people.map(({ document }) => document.digest),
    },
    sign,
  );
  await store(
    vault,
    { 'policy-set': policySet, ...(alertRules && { 'alert-rules': alertRules }) },
    people,
    head.vaultId,
    inputs.now,
    ports,
  );
  return {
    vaultId,
    vaultDocument: vault.digest,
    logPublicKey: log.publicKey ?? new Uint8Array(0),
    enrolments: people.map(({ name, uri }) => ({ administrator: name, uri })),
  };
}

function assertInputs({ administrators, origin }: CeremonyInputs): void {
  const distinct = (values: readonly string[]) => new Set(values).size === administrators.length;
  if (administrators.length < 2) throw new VaultError('usage', 'two-person control needs at least two administrators');
  if (!distinct(administrators.map((one) => one.name))) throw new VaultError('usage', 'two administrators share a name');
  if (!distinct(administrators.map((one) => one.workstation))) throw new VaultError('usage', 'two administrators share a workstation');
  if (!/^[^\s+]{1,256}$/u.test(origin)) throw new VaultError('usage', 'the origin is a name without spaces or plus signs');
}

interface Enrolled {
  readonly administratorId: AdministratorId;
  readonly name: string;
  readonly document: SignedDocument;
  readonly uri: string;
}

async function enrolAdministrator(
  administrator: CeremonyAdministrator,
  head: { v: 1; vaultId: VaultId; createdAt: string },
  sign: (message: Uint8Array) => Promise<Uint8Array>,
  keys: KeyProvider,
): Promise<Enrolled> {
  const now = new Date(head.createdAt);
  const administratorId = newId<AdministratorId>(now);
  const authenticatorId = newId<string>(now);
  using seed = await newTotpSeed(keys);
  const wrapped = await keys.wrap(KEK, seed, totpSeedAad(head.vaultId, administratorId, authenticatorId, KEK));
  const document = await signDocument(
    'administrator',
    {
      ...head,
      administratorId,
      counter: 1,
      name: administrator.name,
      state: 'active',
      roles: [...administrator.roles],
      authenticator: { id: authenticatorId, kind: 'totp', wrappedSeed: toBase64(encodeWrappedKey(wrapped)) },
      workstations: [administrator.workstation],
      consents: [],
    },
    sign,
  );
  return { administratorId, name: administrator.name, document, uri: totpEnrolmentUri(seed, TOTP_ISSUER, administrator.name) };
}

async function store(
  vault: SignedDocument,
  slots: Readonly<Partial<Record<SlotKind, SignedDocument>>>,
  people: readonly Enrolled[],
  vaultId: VaultId,
  now: Date,
  { stores }: Ports,
): Promise<void> {
  const accessLog = createAccessLog({ log: stores.log, vaultId, node: newId<Incarnation>(now), configDigest: vault.digest });
  await stores.unitOfWork.run(async (tx) => {
    for (const document of [vault, ...Object.values(slots), ...people.map((person) => person.document)])
      await stores.documents.put(tx, document);
    for (const { administratorId, name, document } of people) {
      await stores.identity.insertAdministrator(tx, { administratorId, name });
      await stores.documents.point(tx, SYSTEM, slotOf('administrator', administratorId), { digest: document.digest, counter: 1 });
    }
    for (const [slot, { digest }] of Object.entries(slots))
      await stores.documents.point(tx, SYSTEM, slot as SlotKind, { digest, counter: 1 }); // its keys are
    await accessLog.append(tx, {
      type: 'vault.initialized',
      outcome: 'success',
      actor: { kind: 'system' },
      document: { kind: 'vault', digest: vault.digest },
      key: KEK,
    });
  });
}

function publicKeyOf(key: KeyInfo): string {
  if (key.publicKey === undefined) throw new VaultError('hsm_mechanism_missing', 'the signing key has no public key');
  return toBase64(key.publicKey);
}
