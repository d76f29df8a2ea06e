/** Who the policies are tried on: the people and machines of a vault, or of a file. */
import { z } from 'zod';
import { CLASS_NAMES, type ClassName } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import { type Namespace, parseName } from '../domain/ids.ts';
import type { Policies } from '../policy/policy-text.ts';
import { readUserJson } from './files.ts';
import { type Kit, namespacePath, withKit } from './kit.ts';
import { administratorsFile, type Requester, readPolicies, requestersFile } from './policy-files.ts';

export interface PeopleOptions {
  readonly kit?: string;
  readonly namespace: string;
  readonly policies?: readonly string[];
  readonly requesters?: string;
  readonly administrators?: string;
}

export type Person = z.output<typeof administratorsFile>['administrators'][number];

/** The set of these files, or the one in force in the vault. */
export async function policiesFor(
  options: PeopleOptions,
  namespace: string,
): Promise<{ readonly policies: Policies; readonly named: string }> {
  if (options.policies !== undefined) {
    const { policies: files } = options;
    return { policies: await readPolicies(files), named: files.length > 2 ? `${files.length} policy files` : files.join(' and ') };
  }
  return withKitOf(options, '--policies', async (kit) => {
    const { policies, counter } = await setInForce(kit, namespace);
    return { policies, named: counter === 0 ? `no policy set in ${namespace}` : `policy set ${counter} of ${namespace}` };
  });
}

const consent = z.object({ administratorId: z.string() });
const slot = z.object({
  counter: z.int().min(0),
  digest: z.string().optional(),
  body: z.object({ createdAt: z.string(), policies: z.record(z.string(), z.string()), consents: z.array(consent) }).optional(),
});

export interface SetInForce {
  /** 0 when no set is in force. */
  readonly counter: number;
  readonly digest?: string | undefined;
  readonly createdAt?: string | undefined;
  readonly policies: Policies;
  /** Ids of the administrators who wanted it. */
  readonly consents: readonly string[];
}

export async function setInForce(kit: Kit, namespace: string): Promise<SetInForce> {
  const { counter, digest, body } = slot.parse(await kit.call('GET', `${namespacePath({ namespace })}/documents/policy-set`));
  const consents = body?.consents.map(({ administratorId }) => administratorId) ?? [];
  return { counter, digest, createdAt: body?.createdAt, policies: body?.policies ?? {}, consents };
}

export function requestersFor(options: PeopleOptions): Promise<readonly Requester[]> {
  if (options.requesters !== undefined) return readUserJson(options.requesters, requestersFile).then(({ requesters }) => requesters);
  return withKitOf(options, '--requesters', (kit) => requestersOf(kit, options.namespace));
}

const page = z.object({ ...requestersFile.shape, next: z.string().optional() });

/** All of them, page by page. */
export async function requestersOf(kit: Kit, namespace: string): Promise<Requester[]> {
  const all: Requester[] = [];
  for (let after: string | undefined = ''; after !== undefined; ) {
    const query: string = after === '' ? '' : `?after=${encodeURIComponent(after)}`;
    const { requesters, next } = page.parse(await kit.call('GET', `${namespacePath({ namespace })}/requesters${query}`));
    all.push(...requesters);
    after = next;
  }
  return all;
}

const models = z.object({ models: z.array(z.object({ name: z.string() })), next: z.string().optional() });
const versions = z.object({
  class: z.enum(CLASS_NAMES),
  versions: z.array(z.object({ attributes: z.record(z.string(), z.string()).default({}) })),
});

/** A class and the attributes of a version: policies see little more of it. */
export interface VersionKind {
  readonly class: ClassName;
  readonly attributes: Readonly<Record<string, string>>;
}

/** Every class with these attributes, and every other kind of version among the newest hundred of each model. */
export async function versionKinds(kit: Kit, namespace: string, attributes: VersionKind['attributes']): Promise<VersionKind[]> {
  const kinds: VersionKind[] = CLASS_NAMES.map((name) => ({ class: name, attributes }));
  const path = `${namespacePath({ namespace })}/models`;
  for (let after: string | undefined = ''; after !== undefined; ) {
    const query: string = after === '' ? '' : `&after=${encodeURIComponent(after)}`;
    const page: z.output<typeof models> = models.parse(await kit.call('GET', `${path}?limit=100${query}`));
    for (const { name } of page.models) {
      const of = versions.parse(await kit.call('GET', `${path}/${encodeURIComponent(name)}/versions?limit=100`));
      kinds.push(...of.versions.map((version) => ({ class: of.class, attributes: version.attributes })));
    }
    after = page.next;
  }
  const known = (one: VersionKind) => JSON.stringify([one.class, Object.entries(one.attributes).sort()]);
  return [...new Map(kinds.map((one) => [known(one), one])).values()];
}

export async function administratorsFor(options: PeopleOptions): Promise<readonly Person[]> {
  const { administrators } =
    options.administrators === undefined
      ? await withKitOf(options, '--administrators', administratorsOf)
      : await readUserJson(options.administrators, administratorsFile);
  return administrators.filter(({ state }) => state === 'active');
}

export async function administratorsOf(kit: Kit): Promise<z.output<typeof administratorsFile>> {
  return administratorsFile.parse(await kit.call('GET', '/v1/administrators'));
}

export function namespaceNamed(text: string): Namespace {
  try {
    return parseName<Namespace>(text, '--namespace');
  } catch (cause) {
    throw new VaultError('usage', cause instanceof VaultError ? cause.detail : '--namespace', { cause });
  }
}

export function timeNamed(text: string | undefined): Date {
  const time = text === undefined ? new Date() : new Date(text);
  if (Number.isNaN(time.getTime())) throw new VaultError('usage', '--at is a time such as 2026-03-01T12:00:00Z');
  return time;
}

/** "fresh and hardware, or tee". */
export function claimsInWords(alternatives: ReadonlyArray<readonly string[]>): string {
  return alternatives.map((claims) => (claims.length === 0 ? 'whatever it shows' : claims.join(' and '))).join(', or ');
}

function withKitOf<T>(options: PeopleOptions, instead: string, use: (kit: Kit) => Promise<T>): Promise<T> {
  if (options.kit === undefined) throw new VaultError('usage', `name ${instead} <file>, or --kit <folder> to ask the vault`);
  return withKit(options.kit, use);
}
