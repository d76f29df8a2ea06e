/** What the Doctor can find, in one table. docs/doctor.md repeats it; a test keeps both equal. Ids are stable; texts are not. */

/** `unknown`: the probe could not look. It is neither good nor bad, and says why. */
export const SEVERITIES = ['ok', 'info', 'unknown', 'warning', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** Id: what is looked at; what to do when it is not as it should be. */
export const FINDINGS = {
  configuration: ['vault.json can be read, and its settings agree', 'Correct the named setting: docs/configuration.md.'],
  // The host.
  run_as_root: ['the user that runs this', 'Give the vault a user of its own, and run the doctor as that user.'],
  node_version: ['the version of Node', 'Run the vault under the pinned Node: `npm run setup`, or the image.'],
  core_dumps: [
    'core dump limit of vault and keeper, and `kernel.core_pattern`: memory holds keys and plaintext',
    'Set LimitCORE=0, and pipe kernel.core_pattern into /bin/false.',
  ],
  swap: [
    'swap that is not encrypted: memory may be written to it; that of vault and keeper that is there now',
    'Turn swap off, or encrypt it.',
  ],
  ptrace: [
    '`kernel.yama.ptrace_scope`: who may read the memory of another process; whoever is attached to vault or keeper now',
    'Set kernel.yama.ptrace_scope to 2 or 3.',
  ],
  kernel_lockdown: [
    'kernel lockdown: whether root may change the kernel that runs',
    'Boot with lockdown=confidentiality and secure boot, where you can.',
  ],
  clock_sync: ['whether the clock follows a time server', 'Run chrony or systemd-timesyncd.'],
  open_files: ['the limit of open files: each stream takes two', 'Set LimitNOFILE to 65536.'],
  // Files.
  file_modes: [
    'mode and owner of configuration, database, ciphertext, TLS keys, PIN, token, socket folder and folders of secrets',
    'chmod 600 files and 700 folders, and chown them to the one user they are for.',
  ],
  keys_apart: [
    'token and PIN apart from database and ciphertext: another user, another disk',
    'Run the keeper as another user (docs/containers.md), or use an HSM.',
  ],
  software_keys: ['whether the keys are in hardware', 'Use an HSM for anything that matters: a SoftHSM is files.'],
  extractable_keks: [
    'whether keys that can leave the HSM are used',
    'Make keys that cannot (`wv keys rotate`), then take dangerouslyAllowExtractableKek out of the configuration.',
  ],
  log_head_apart: ['the kept checkpoint on another disk than the database', 'Set logHead to a file on another disk or mount.'],
  disk_space: ['free space for database and ciphertext', 'Make room: a full disk stops every release, because none can be recorded.'],
  // Planes.
  tls_certificate: [
    'the certificates of both planes: expiry, key',
    'Issue a new certificate (P-256, Ed25519, or RSA of 3072 bits), restart, hand it to kits and requesters.',
  ],
  admin_listener: ['the address the admin plane listens on', 'Listen on a loopback address, or on a network that only workstations reach.'],
  // Keeper.
  keeper: [
    'whether the keeper answers and its self-test holds',
    'Look into the log of the keeper; for pin_incorrect correct the PIN file first, then restart it.',
  ],
  key_states: [
    'the KEKs: none past its cryptoperiod or near it, none suspended, an active version each',
    'Rotate what is due (`wv keys rotate`), resume what may go on (`wv keys resume`): docs/operating.md.',
  ],
  // Database and access log.
  database_schema: ['the version of the schema', 'Start the vault of this version once, or use the version that wrote it.'],
  database_integrity: ['SQLite: `PRAGMA quick_check`', 'Stop the vault and restore a backup: docs/operating.md.'],
  clock_regressed: [
    'the newest record against the clock',
    'Find out who set the clock back; challenges and releases live longer by as much.',
  ],
  log_verifies: [
    'the access log from its signed checkpoint down to every record',
    'Treat it as an incident: docs/operating.md. Keep a copy before anything else.',
  ],
  log_rolled_back: ['the database against the kept checkpoint', 'Treat it as an incident: the database was put back to an older state.'],
  rollback_windows: [
    'head file, HSM and witnesses: which rollback each would not notice',
    'Let the HSM keep the checkpoint (logHeadInHsm), or name witnesses: docs/threat-model.md.',
  ],
  checkpoint_age: [
    'records that no checkpoint covers yet',
    'Look into the log of the vault: the sequencer waits for the keeper, or is halted.',
  ],
  log_sinks: [
    'the sinks of the access log: none lags',
    'Look at the receiver, its certificate and the operational log (`wv log sinks`). Nothing is lost: what waits is sent when it is well.',
  ],
  // People.
  second_factor: [
    'whether administrators have a phishing-resistant second factor',
    'TOTP is a bridge until WebAuthn is here: keep sessions short and workstations clean.',
  ],
  approvers: ['active approvers with an authenticator: two at least', 'Add an approver: `wv admin add`.'],
  roles: ['people with more than three roles', 'Give each person the roles of their work: `wv admin change`.'],
  shared_workstation: ['administrators who share a workstation or an authenticator', 'Give each their own: whoever has it counts as both.'],
  dormant: ['administrators who did nothing for 90 days', 'Ask whether they still need it: `wv admin remove`.'],
  // What a release is decided by.
  policy_set: ['an access policy in force in each namespace', 'Set one: `wv policy set`. Without one nothing is released.'],
  reference_values: [
    'reference values: there are some, none has expired or will within 30 days',
    'Propose current ones: `wv reference set`.',
  ],
  reference_unnamed: [
    'reference values that no policy of their namespace names',
    'Name them in a policy, or remove them: what no policy names counts for every model.',
  ],
  reference_unmatched: [
    'reference values in force for 30 days that no evidence matched for 30 days',
    'Remove them, or find out why their machines no longer attest: `wv reference set`.',
  ],
  collateral: [
    'what makers of hardware publish: none past its date, or will be within 7 days',
    'Download newer ones and bring them in: `wv evidence collateral import`.',
  ],
  trust_anchors: ['trust anchors: there are some, none has expired or will within 90 days', 'Propose current ones: `wv anchors set`.'],
} as const satisfies Record<string, readonly [looksAt: string, toDo: string]>;

export type FindingId = keyof typeof FINDINGS;

export interface Finding {
  readonly id: FindingId;
  readonly severity: Severity;
  /** What was seen, in words. Never a secret. */
  readonly seen: string;
}

export const finding = (id: FindingId, severity: Severity, seen: string): Finding => ({ id, severity, seen });

/** One finding when nothing is wrong, else one for each thing that is. */
export function each(id: FindingId, wrong: readonly Finding[], fine: string): readonly Finding[] {
  return wrong.length > 0 ? wrong : [finding(id, 'ok', fine)];
}

export function worstOf(findings: readonly Finding[]): Severity {
  return SEVERITIES[Math.max(0, ...findings.map(({ severity }) => SEVERITIES.indexOf(severity)))] ?? 'ok';
}
