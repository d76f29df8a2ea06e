/** The house rules as tables (docs/architecture.md). An exception is a row with its reason; a row that nothing needs any more must go. */

const MECHANISMS = [
  'sealed',
  'keys',
  'attestation',
  'policy',
  'identity',
  'audit',
  'documents',
  'catalog',
  'intake',
  'blobs',
  'releases',
  'stores',
  'config',
  'telemetry',
] as const;

/** What each part of src may import besides itself. A path that ends in `port.ts` allows that file alone. */
export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  ...Object.fromEntries(MECHANISMS.map((mechanism) => [mechanism, ['domain']])),
  // One engine implements the ports of several mechanisms, because they share its transactions.
  stores: ['domain', 'audit/port.ts', 'catalog/port.ts', 'documents/port.ts', 'identity/port.ts', 'releases/port.ts'],
  vault: ['domain', ...MECHANISMS],
  http: ['domain', ...MECHANISMS, 'vault'],
  // Runs beside the model server: nothing of the vault's own may come along.
  agent: ['domain', 'sealed', 'attestation/port.ts'],
  console: ['domain', 'http'],
  'compose.ts': ['domain', ...MECHANISMS, 'vault'],
  'main.ts': ['domain', 'config', 'telemetry', 'http', 'compose.ts'],
  cli: ['domain', ...MECHANISMS, 'vault', 'agent', 'compose.ts', 'main.ts'],
};

/** Folders that hold a concrete adapter. Only compose.ts names them. */
export const ADAPTERS = ['keys/pkcs11', 'keys/keeper', 'blobs/fs', 'stores/sqlite', 'attestation/tpm2'] as const;

export const ADAPTER_EXCEPTIONS: ReadonlyArray<{ readonly file: string; readonly imports: string; readonly why: string }> = [
  { file: 'keys/keeper/main.ts', imports: 'keys/pkcs11', why: 'the keeper is the one process that loads the PKCS#11 module' },
  {
    file: 'vault/enrol.ts',
    imports: 'attestation/tpm2/enrolment.ts',
    why: 'credential activation is of the TPM; a second kind makes it a port',
  },
  { file: 'cli/requester.ts', imports: 'attestation/tpm2/attester.ts', why: "composition root of the requester's side" },
];

/** Where each third-party package lives: files or folders of src. */
export const PACKAGE_HOMES: Readonly<Record<string, readonly string[]>> = {
  '@cedar-policy/cedar-wasm': ['policy'],
  '@peculiar/x509': ['identity', 'attestation/tpm2'],
  'reflect-metadata': ['identity', 'attestation/tpm2'], // what @peculiar/x509 stands on
  'better-sqlite3': ['stores/sqlite'],
  canonicalize: ['domain'],
  cbor2: ['domain'],
  commander: ['cli'],
  express: ['http'],
  helmet: ['http'],
  otplib: ['identity'],
  pkcs11js: ['keys/pkcs11'],
  qrcode: ['cli'],
  winston: ['telemetry'],
  // Where bytes become types: what arrives, and what is read back from where others may have written.
  zod: ['documents', 'config', 'http', 'cli', 'agent', 'attestation/tpm2', 'vault/enrol.ts'],
};

/** Dependencies that no source file imports. */
export const NOT_IMPORTED: Readonly<Record<string, string>> = { node: 'the runtime itself: cli/wv.mjs and deploy/bootstrap.mjs start it' };

/** The only routes that no policy decides, by plane. */
export const OPEN_ROUTES = {
  data: ['post /v1/challenges'],
  admin: ['delete /v1/session', 'post /v1/session'],
} as const;

/** Names that say nothing. */
export const EMPTY_NAMES = ['utils', 'util', 'helpers', 'helper', 'manager', 'service', 'common', 'base', 'misc', 'lib'] as const;

/** A file longer than this wants to be two. */
export const MAX_LINES = 300;
