/** What a policy sees of evidence: one record for each kind that was shown, with the facts of domain/facts.ts under their own names and types. */
import type { CedarValueJson } from '@cedar-policy/cedar-wasm/nodejs';
import type { AppraisedPiece } from '../domain/evidence.ts';
import { FACTS, type FactSpec, type Facts, type FactValue, type FixedKind } from '../domain/facts.ts';

export type PieceAttributes = Pick<AppraisedPiece, 'kind' | 'facts'>;

/** `context.evidence.tdx` and so on. Of `jwt`, whose facts have names of the anchor's, there is no record: see `facts`. */
export const RECORDS: Readonly<Record<FixedKind, string>> = {
  tpm2: 'tpm2',
  'sev-snp': 'sevSnp',
  tdx: 'tdx',
  nitro: 'nitro',
  'nvidia-gpu': 'nvidiaGpu',
  spiffe: 'spiffe',
};

/** A kind that may be shown several times has one record about all of its pieces, because Cedar has no "for each". */
export const GPU_RECORD = {
  count: 'Long',
  models: 'Set<String>',
  architectures: 'Set<String>',
  driverVersions: 'Set<String>',
  vbiosVersions: 'Set<String>',
  allConfidential: 'Bool',
  allRimsMatched: 'Bool',
  revocations: 'Set<String>',
} as const;

const CEDAR: Readonly<Record<FactSpec['type'], string>> = {
  text: 'String',
  hex: 'String',
  number: 'Long',
  flag: 'Bool',
  texts: 'Set<String>',
};

/** The record types of the schema file, which a test holds against this. */
export function recordTypes(): Readonly<Record<string, Readonly<Record<string, string>>>> {
  const types = Object.entries(FACTS).map(([kind, table]): [string, Readonly<Record<string, string>>] => {
    const record = RECORDS[kind as FixedKind]; // a key of FACTS
    if (kind === 'nvidia-gpu') return [record, GPU_RECORD];
    return [
      record,
      Object.fromEntries(Object.entries(table).map(([name, spec]) => [`${name}${spec.optional ? '?' : ''}`, CEDAR[spec.type]])),
    ];
  });
  return Object.fromEntries(types);
}

export function recordsOf(pieces: readonly PieceAttributes[]): Record<string, CedarValueJson> {
  const gpus = pieces.filter(({ kind }) => kind === 'nvidia-gpu').map(({ facts }) => facts);
  const others = pieces.flatMap(
    ({ kind, facts }): Array<[string, CedarValueJson]> =>
      kind === 'jwt' || kind === 'nvidia-gpu' ? [] : [[RECORDS[kind], recordOf(facts)]],
  );
  return { ...Object.fromEntries(others), ...(gpus.length > 0 && { [RECORDS['nvidia-gpu']]: gpuRecord(gpus) }) };
}

/** Something that a verdict stood on was past its date: policies decide whether that is good enough. */
export function isAnyStale(pieces: readonly PieceAttributes[]): boolean {
  return pieces.some(({ facts }) => facts['collateralStale'] === true);
}

function recordOf(facts: Facts): CedarValueJson {
  const value = (fact: FactValue): CedarValueJson => (typeof fact === 'object' ? [...fact] : fact);
  return Object.fromEntries(Object.entries(facts).map(([name, fact]) => [name, value(fact)]));
}

function gpuRecord(gpus: readonly Facts[]): Record<keyof typeof GPU_RECORD, CedarValueJson> {
  const texts = (name: string) => [...new Set(gpus.flatMap((facts) => (Object.hasOwn(facts, name) ? [String(facts[name])] : [])))];
  const all = (...names: readonly string[]) => gpus.every((facts) => names.every((name) => facts[name] === true));
  return {
    count: gpus.length,
    models: texts('model'),
    architectures: texts('architecture'),
    driverVersions: texts('driverVersion'),
    vbiosVersions: texts('vbiosVersion'),
    allConfidential: all('confidentialMode'),
    allRimsMatched: all('driverRimMatched', 'vbiosRimMatched'),
    revocations: texts('revocation'),
  };
}
