/** What a policy author has in files: policies, cases, and people to try them on. */

import { readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { KINDS } from '../attestation/kinds.ts';
import { CLASS_NAMES, DELIVERIES } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import type { EvidenceKind } from '../domain/evidence.ts';
import { problemsOfFacts } from '../domain/facts.ts';
import { type AdministratorId, type Namespace, parseName } from '../domain/ids.ts';
import { ADMIN_ACTIONS } from '../policy/actions.ts';
import { MFA_METHODS } from '../policy/attributes.ts';
import type { PolicyCase } from '../policy/cases.ts';
import { type CheckedPolicies, checkPolicies, type PolicyFile } from '../policy/check.ts';
import type { KnownValues } from '../policy/lint.ts';
import type { Policies } from '../policy/policy-text.ts';
import { supposePiece } from '../policy/suppose-pieces.ts';
import { readUserFile, readUserJson } from './files.ts';

export const EVIDENCE_KINDS = Object.keys(KINDS) as readonly EvidenceKind[]; // the keys of a record of exactly these

export async function checkFiles(names: readonly string[], known: Omit<KnownValues, 'evidenceKinds'> = {}): Promise<CheckedPolicies> {
  const files = await Promise.all(
    names.map(async (name): Promise<PolicyFile> => ({ name, text: (await readUserFile(name)).toString('utf8') })),
  );
  return checkPolicies(files, { evidenceKinds: EVIDENCE_KINDS, ...known });
}

/** The policies of files that could be put in force. Throws `policy_invalid` otherwise, naming the first problem. */
export async function readPolicies(names: readonly string[]): Promise<Policies> {
  const { policies, problems } = await checkFiles(names);
  const [first] = problems.filter(({ severity }) => severity === 'error');
  if (first === undefined) return policies;
  const where = first.place === undefined ? '' : `${first.place.file}:${first.place.line}:${first.place.column}: `;
  throw new VaultError('policy_invalid', `${where}${first.message}; \`wv policy check\` shows everything`);
}

const name = z.string().transform((text, context): string => {
  try {
    return parseName(text, 'name');
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof VaultError ? error.detail : 'not allowed' });
    return z.NEVER;
  }
});
const namespace = name.transform((text) => text as Namespace); // just checked
const attributes = z.record(z.string().regex(/^[^=]+$/), z.string());
const at = z.iso
  .datetime()
  .transform((text) => new Date(text))
  .optional();
const expected = z.discriminatedUnion('decision', [
  z.strictObject({ decision: z.literal('permit'), determining: z.array(z.string()).min(1) }),
  z.strictObject({ decision: z.literal('deny'), code: z.string(), detail: z.string() }),
]);
const factValue = z.union([z.string(), z.int(), z.boolean(), z.array(z.string())]);
/** What it says besides what a sound piece of its kind says. */
const piece = z
  .strictObject({ kind: z.enum(EVIDENCE_KINDS), facts: z.record(z.string(), factValue).default({}) })
  .transform(({ kind, facts }, context) => {
    const whole = supposePiece(kind, facts);
    const [problem] = problemsOfFacts(kind, whole.facts);
    if (problem !== undefined) context.addIssue({ code: 'custom', message: `${kind}: ${problem}` });
    return whole;
  });
const evidence = z.strictObject({
  kinds: z.array(z.enum(EVIDENCE_KINDS)).min(1),
  fresh: z.boolean(),
  keyBound: z.boolean(),
  hardware: z.boolean(),
  tee: z.boolean(),
  matched: z.array(z.string()),
  facts: attributes,
  pieces: z.array(piece),
});

const bytes = z.int().min(0);
const egress = z.strictObject({
  versionBytes: bytes,
  bytesLast24h: bytes,
  bytesLast7d: bytes,
  replicasLast24h: bytes,
  machinesLast24h: bytes,
  machineCounted: z.boolean(),
});

const caseFile = z.strictObject({
  files: z.array(z.string()).min(1),
  cases: z.array(
    z.union([
      z.strictObject({
        name: z.string().min(1),
        requester: z.strictObject({ name, namespace, attributes }),
        version: z.strictObject({ namespace, class: z.enum(CLASS_NAMES), attributes }),
        evidence: evidence.partial().optional(),
        delivery: z.enum(DELIVERIES).optional(),
        egress: egress.partial().optional(),
        at,
        policiesAlone: z.boolean().optional(),
        expect: expected,
      }),
      z.strictObject({
        name: z.string().min(1),
        roles: z.array(name),
        action: z.enum(ADMIN_ACTIONS),
        namespace,
        context: z
          .strictObject({ mfa: z.enum(MFA_METHODS), workstationBound: z.boolean() })
          .partial()
          .optional(),
        at,
        expect: expected,
      }),
    ]),
  ),
});

export interface CaseSuite {
  readonly name: string;
  /** Of the .cedar files, as paths. */
  readonly files: readonly string[];
  readonly cases: readonly PolicyCase[];
}

/** Every .json file of `folder`. The policy files it names are looked for in `policies`. Throws `usage` when there is none, naming the wrong member. */
export async function readSuites(folder: string, policies = resolve(folder, '..')): Promise<CaseSuite[]> {
  const names = await readdir(folder).catch((cause) => {
    throw new VaultError('usage', `${folder} cannot be read`, { cause });
  });
  const suites = names.filter((one) => one.endsWith('.json')).sort();
  if (suites.length === 0) throw new VaultError('usage', `${folder} has no .json file with cases`);
  return Promise.all(
    suites.map(async (suite) => {
      const { files, cases } = await readUserJson(join(folder, suite), caseFile);
      // Zod says `T | undefined` for what it leaves out; a case takes both.
      return { name: suite, files: files.map((file) => join(policies, basename(file))), cases: cases as readonly PolicyCase[] };
    }),
  );
}

const requester = z.object({ name, attributes: attributes.default({}), blocked: z.boolean().default(false) });
/** As the vault answers `GET .../requesters`, or as somebody writes it by hand. */
export const requestersFile = z.object({ requesters: z.array(requester) });
export type Requester = z.output<typeof requester>;

const administratorId = z.uuidv7().transform((text) => text as AdministratorId); // just checked
const administrator = z.object({
  administratorId: administratorId.optional(),
  name,
  roles: z.array(name),
  state: z.enum(['active', 'removed']).default('active'),
});
export const administratorsFile = z.object({ administrators: z.array(administrator) });

const referenceFile = z.object({ values: z.array(z.object({ id: z.string() })) });

/** Ids of the reference values in a file as `wv reference set` takes it. */
export async function readReferenceIds(file: string): Promise<string[]> {
  return (await readUserJson(file, referenceFile)).values.map(({ id }) => id);
}
