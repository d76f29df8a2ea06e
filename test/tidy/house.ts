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
  stores: [
    'domain',
    'attestation/kept/port.ts',
    'audit/port.ts',
    'audit/alerts/port.ts',
    'audit/search/port.ts',
    'catalog/port.ts',
    'documents/port.ts',
    'identity/port.ts',
    'releases/port.ts',
  ],
  vault: ['domain', ...MECHANISMS],
  http: ['domain', ...MECHANISMS, 'vault'],
  // Another program, of another administrative domain: it shares the log's formats with the vault and nothing else.
  witness: ['domain', 'audit'],
  // Runs beside the model server: nothing of the vault's own may come along.
  agent: ['domain', 'sealed', 'attestation/port.ts'],
  console: ['domain', 'http'],
  'compose.ts': ['domain', ...MECHANISMS, 'vault', 'compose-log.ts', 'compose-readers.ts', 'compose-watch.ts'],
  'compose-readers.ts': ['domain', 'audit', 'config', 'telemetry', 'vault'],
  'compose-log.ts': ['domain', ...MECHANISMS, 'vault'],
  'compose-watch.ts': ['domain', ...MECHANISMS, 'vault'],
  'compose-backup.ts': ['domain', ...MECHANISMS, 'vault'],
  'compose-successor.ts': ['domain', ...MECHANISMS, 'vault'],
  'compose-recovery.ts': ['domain', ...MECHANISMS, 'vault', 'compose.ts', 'compose-successor.ts'],
  'compose-signing.ts': ['domain', ...MECHANISMS, 'vault', 'compose.ts', 'compose-successor.ts'],
  'main.ts': ['domain', 'config', 'telemetry', 'vault', 'http', 'compose.ts'],
  cli: [
    'domain',
    ...MECHANISMS,
    'vault',
    'agent',
    'witness',
    'compose.ts',
    'compose-backup.ts',
    'compose-recovery.ts',
    'compose-signing.ts',
    'main.ts',
  ],
};

/** Folders that hold a concrete adapter. Only compose.ts names them. */
export const ADAPTERS = [
  'keys/pkcs11',
  'keys/aws-kms',
  'keys/keeper',
  'blobs/fs',
  'stores/sqlite',
  'audit/head-file',
  'audit/head-hsm',
  'audit/witness-http',
  'audit/room-file',
  'attestation/tpm2',
  'attestation/jwt',
  'attestation/nitro',
  'attestation/nvidia-gpu',
  'attestation/sev-snp',
  'attestation/tdx',
  'attestation/spiffe',
] as const;

export const ADAPTER_EXCEPTIONS: ReadonlyArray<{ readonly file: string; readonly imports: string; readonly why: string }> = [
  { file: 'compose-log.ts', imports: 'audit/head-file', why: "the server's composition root, its part about the access log" },
  { file: 'compose-log.ts', imports: 'audit/head-hsm', why: 'the same' },
  { file: 'compose-log.ts', imports: 'audit/witness-http', why: 'the same' },
  { file: 'compose-log.ts', imports: 'audit/room-file', why: 'the same' },
  { file: 'compose-watch.ts', imports: 'audit/head-file', why: 'what is told when the log is not believed is kept beside the checkpoint' },
  { file: 'compose-backup.ts', imports: 'stores/sqlite', why: 'composition root of backup and restore, which run without an HSM' },
  { file: 'compose-backup.ts', imports: 'blobs/fs', why: 'the same' },
  { file: 'compose-backup.ts', imports: 'audit/head-file', why: 'the same' },
  { file: 'compose-backup.ts', imports: 'audit/head-hsm', why: 'the same' },
  { file: 'compose-recovery.ts', imports: 'stores/sqlite', why: 'composition root of a recovery, which works on a copy of the database' },
  { file: 'compose-successor.ts', imports: 'stores/sqlite', why: 'the part of that which a rotation of the signing keys shares' },
  { file: 'compose-successor.ts', imports: 'audit/head-file', why: 'the same' },
  {
    file: 'compose-signing.ts',
    imports: 'stores/sqlite',
    why: 'composition root of a rotation of the signing keys, which works on a copy too',
  },
  { file: 'compose-signing.ts', imports: 'audit/head-file', why: 'the same' },
  { file: 'compose-signing.ts', imports: 'audit/head-hsm', why: 'the same' },
  { file: 'compose-signing.ts', imports: 'keys/keeper', why: 'the keeper of the HSM it leaves' },
  { file: 'cli/doctor/examine.ts', imports: 'keys/keeper', why: 'the doctor asks the keeper without a vault in between' },
  { file: 'cli/doctor/rollback.ts', imports: 'audit/head-hsm', why: 'and what the keeper has in the HSM' },
  { file: 'cli/doctor/store-facts.ts', imports: 'stores/sqlite', why: 'the doctor reads the database of a vault that may be stopped' },
  { file: 'cli/evidence-formats.ts', imports: 'attestation/tpm2/examine.ts', why: 'composition root of examining evidence by hand' },
  { file: 'cli/evidence-formats.ts', imports: 'attestation/jwt/examine.ts', why: 'the same' },
  { file: 'cli/evidence-formats.ts', imports: 'attestation/jwt/examine-jwk.ts', why: 'the same' },
  { file: 'cli/keeper.ts', imports: 'keys/keeper', why: 'composition root of a keeper that runs by itself' },
  { file: 'keys/keeper/config.ts', imports: 'keys/pkcs11', why: 'its configuration is that of the provider it starts' },
  { file: 'keys/keeper/main.ts', imports: 'keys/pkcs11', why: 'the keeper is the one process that loads the PKCS#11 module' },
  { file: 'keys/keeper/main.ts', imports: 'keys/aws-kms', why: 'and the one that has the credentials for AWS KMS' },
  { file: 'keys/keeper/config.ts', imports: 'keys/aws-kms', why: 'its configuration is that of the provider it starts' },
  {
    file: 'vault/enrol.ts',
    imports: 'attestation/tpm2/enrolment.ts',
    why: 'credential activation is of the TPM alone: the second kind, jwt, has nothing like it to share a port with',
  },
  { file: 'cli/attesters.ts', imports: 'attestation/tpm2/attester.ts', why: "composition root of the requester's side" },
  { file: 'cli/attesters.ts', imports: 'attestation/jwt/attester.ts', why: 'the same' },
  { file: 'cli/attesters.ts', imports: 'attestation/sev-snp/attester.ts', why: 'the same' },
  { file: 'cli/attesters.ts', imports: 'attestation/tdx/attester.ts', why: 'the same' },
  { file: 'cli/attesters.ts', imports: 'attestation/tdx/azure-quote.ts', why: "and to make an Azure guest's reports into quotes" },
  { file: 'cli/attesters.ts', imports: 'attestation/nitro/attester.ts', why: 'the same' },
  { file: 'cli/attesters.ts', imports: 'attestation/nvidia-gpu/attester.ts', why: 'the same' },
  { file: 'cli/attesters.ts', imports: 'attestation/spiffe/attester.ts', why: 'the same' },
  { file: 'cli/tls-identity.ts', imports: 'attestation/spiffe/workload-api.ts', why: 'the same: an X.509-SVID is the TLS identity' },
  {
    file: 'attestation/spiffe/jwt-svid.ts',
    imports: 'attestation/jwt',
    why: 'a JWT-SVID is a token: one reader and one signature check for both',
  },
  { file: 'attestation/spiffe/verifier.ts', imports: 'attestation/jwt/evidence.ts', why: 'the same' },
  { file: 'cli/evidence-formats.ts', imports: 'attestation/nitro', why: 'composition root of examining evidence by hand' },
  { file: 'cli/evidence-formats.ts', imports: 'attestation/nvidia-gpu', why: 'the same' },
  { file: 'cli/evidence-formats.ts', imports: 'attestation/sev-snp', why: 'the same' },
  {
    file: 'cli/reference-import.ts',
    imports: 'attestation/nvidia-gpu/rim-reference.ts',
    why: 'what others signed is read without a vault',
  },
  { file: 'cli/reference-import.ts', imports: 'attestation/jwt/signed-values.ts', why: 'the same' },
  { file: 'cli/evidence-formats.ts', imports: 'attestation/tdx', why: 'the same' },
];

/** Where each third-party package lives: files or folders of src. */
export const PACKAGE_HOMES: Readonly<Record<string, readonly string[]>> = {
  '@aws-sdk/client-kms': ['keys/aws-kms'],
  '@cedar-policy/cedar-wasm': ['policy'],
  '@peculiar/x509': ['identity', 'attestation/tpm2'],
  'reflect-metadata': ['identity', 'attestation/tpm2'], // what @peculiar/x509 stands on
  'better-sqlite3': ['stores/sqlite', 'witness'],
  canonicalize: ['domain'],
  cbor2: ['attestation/nitro'],
  'cli-progress': ['cli'],
  commander: ['cli'],
  express: ['http'],
  helmet: ['http'],
  hpke: ['keys'],
  jose: ['attestation/jwt'],
  nodemailer: ['audit/delivery'],
  otplib: ['identity'],
  pkcs11js: ['keys/pkcs11'],
  'shamir-secret-sharing': ['keys'],
  qrcode: ['cli'],
  'prom-client': ['telemetry'],
  saxes: ['attestation/nvidia-gpu'],
  winston: ['telemetry'],
  'xml-crypto': ['attestation/nvidia-gpu'],
  yaml: ['audit/alerts'],
  // Where bytes become types: what arrives, and what is read back from where others may have written.
  zod: [
    'audit/alerts',
    'documents',
    'config',
    'compose-backup.ts',
    'http',
    'cli',
    'agent',
    'attestation/tpm2',
    'attestation/jwt',
    'attestation/body-form.ts',
    'attestation/sev-snp',
    'attestation/nitro',
    'attestation/nvidia-gpu',
    'attestation/tdx',
    'attestation/spiffe',
    'vault/enrol.ts',
  ],
};

/** Dependencies that no source file imports. */
export const NOT_IMPORTED: Readonly<Record<string, string>> = { node: 'the runtime itself: cli/wv.mjs and deploy/bootstrap.mjs start it' };

/** The only routes that no policy decides, by plane, besides those of both. */
export const OPEN_ROUTES = {
  data: ['post /v1/challenges'],
  admin: [
    'delete /v1/session',
    'get /v1/session',
    'post /v1/authenticator',
    'post /v1/authenticator/confirm',
    'post /v1/session',
    'post /v1/session/step-up',
  ],
} as const;

/** The same on both planes: what anyone may know of a node. */
export const SHARED_ROUTES = ['get /v1/health/live', 'get /v1/health/ready', 'get /v1/openapi.json'] as const;

/** Names that say nothing. */
export const EMPTY_NAMES = ['utils', 'util', 'helpers', 'helper', 'manager', 'service', 'common', 'base', 'misc', 'lib'] as const;

/** A file longer than this wants to be two. */
export const MAX_LINES = 300;
