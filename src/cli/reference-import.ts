/** `wv reference import`: what others signed, turned into reference values. A proposal beside the values in force; two people decide. */
import { basename, extname } from 'node:path';
import { z } from 'zod';
import type { PinnedRoot } from '../attestation/examination.ts';
import { readSignedValues } from '../attestation/jwt/signed-values.ts';
import { type RimReference, readRimReference } from '../attestation/nvidia-gpu/rim-reference.ts';
import { pinnedRoots } from '../attestation/pinned-roots.ts';
import { referenceValueList } from '../documents/reference-values.ts';
import { systemClock } from '../domain/clock.ts';
import { VaultError } from '../domain/errors.ts';
import type { MeasuredReferenceValue, ReferenceValue } from '../domain/evidence.ts';
import { readUserFile } from './files.ts';
import { type AdminOptions, type Kit, namespacePath, withKit } from './kit.ts';
import { note } from './output.ts';
import { propose } from './propose.ts';

export interface ImportOptions extends AdminOptions {
  readonly id?: string;
  readonly signer?: string;
  readonly model?: readonly string[];
  readonly expires?: string;
}

const FACTS_OF_RIMS = ['driverVersion', 'vbiosVersion'] as const;
const MAX_BYTES = 524_288;

export async function importReferences(files: readonly string[], options: ImportOptions): Promise<void> {
  const proposed = await readReferences(files, options);
  await withKit(options.kit, async (kit) => {
    const kept = (await valuesInForce(kit, options)).filter(({ id }) => !proposed.some((value) => value.id === id));
    for (const { id, source = '' } of proposed) note(`${id}: ${source}`);
    await propose(kit, 'reference-values', { values: [...kept, ...proposed] }, options);
  });
}

async function valuesInForce(kit: Kit, options: AdminOptions): Promise<readonly ReferenceValue[]> {
  const { body } = await kit.call('GET', `${namespacePath(options)}/documents/reference-values`);
  return z.object({ values: referenceValueList }).optional().parse(body)?.values ?? [];
}

/** Of RIMs. Not of a JWS: whose key that must be, says whoever imports it. */
export interface RimTrust {
  readonly roots: readonly PinnedRoot[];
  readonly now: Date;
}

/** RIMs together are one value: a device must run one of the drivers and one of the VBIOS versions. */
export async function readReferences(
  files: readonly string[],
  options: Omit<ImportOptions, keyof AdminOptions>,
  trust: RimTrust = { roots: pinnedRoots(), now: systemClock.now() },
): Promise<readonly ReferenceValue[]> {
  const rims: RimReference[] = [];
  const values: ReferenceValue[] = [];
  for (const file of files) {
    const bytes = new Uint8Array(await readUserFile(file));
    if (bytes.length > MAX_BYTES) throw new VaultError('usage', `${file} is larger than ${MAX_BYTES} bytes`);
    if (isXml(bytes)) rims.push(found(file, readRimReference(bytes, basename(file, extname(file)), trust.roots, trust.now)));
    else values.push(...(await readSigned(file, bytes, options.signer)));
  }
  const read = rims.length === 0 ? values : [...values, rimValue(rims, options.id)];
  const scope = {
    ...(options.model && { models: [...options.model] }),
    ...(options.expires !== undefined && { expires: options.expires }),
  };
  const scoped = referenceValueList.safeParse(read.map((value) => ({ ...value, ...scope })));
  if (!scoped.success) throw new VaultError('usage', `not reference values: ${z.prettifyError(scoped.error)}`);
  return scoped.data as readonly ReferenceValue[]; // the domain has no optional member that may also be undefined
}

function rimValue(rims: readonly RimReference[], id: string | undefined): MeasuredReferenceValue {
  if (id === undefined) throw new VaultError('usage', 'name the value of the RIMs with --id');
  const versions = (fact: RimReference['fact']) => [...new Set(rims.filter((rim) => rim.fact === fact).flatMap((rim) => rim.versions))];
  const claims = Object.fromEntries(FACTS_OF_RIMS.map((fact) => [fact, versions(fact)]).filter(([, some]) => some?.length));
  return {
    id,
    kind: 'nvidia-gpu',
    claims,
    source: `RIM, signed by ${[...new Set(rims.map(({ signer }) => signer))].join('; ')}`.slice(0, 512),
  };
}

const signedFile = z.object({ values: z.array(z.record(z.string(), z.unknown())).min(1).max(10_000) });

async function readSigned(file: string, bytes: Uint8Array, signer: string | undefined): Promise<readonly ReferenceValue[]> {
  if (signer === undefined) throw new VaultError('usage', `${file}: name the key that must have signed it with --signer`);
  const { payload, signer: by } = found(file, await readSignedValues(bytes, await readUserFile(signer)));
  const parsed = signedFile.safeParse(payload);
  if (!parsed.success) throw new VaultError('usage', `${file}: what is signed are no reference values`);
  return parsed.data.values.map((value) => ({ ...value, source: `signed by the key ${by}` })) as unknown as readonly ReferenceValue[]; // their form is looked at with all others
}

/** A JWS begins with base64url; a mark of byte order may stand before XML. */
function isXml(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 4).includes(0x3c);
}

function found<T extends object>(file: string, read: T | string): T {
  if (typeof read === 'string') throw new VaultError('usage', `${file}: ${read}`);
  return read;
}
