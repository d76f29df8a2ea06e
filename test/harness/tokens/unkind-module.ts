/** Builds unkind-module.c once and stands it before another module. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestToken } from './token.ts';

/** Numbers in CK_FUNCTION_LIST. */
export const CALLS = { C_OpenSession: 12, C_Login: 18, C_Decrypt: 34, C_GenerateKey: 58, C_GenerateRandom: 64 } as const;

export interface Unkindness {
  readonly delayMs?: number;
  /** A CKR number, or `hang`. */
  readonly calls?: Partial<Record<keyof typeof CALLS, number | 'hang'>>;
  /** Only while this file exists. */
  readonly when?: string;
}

const source = fileURLToPath(new URL('./unkind-module.c', import.meta.url));
let built: string | undefined;

/** Throws when there is no C compiler; `npm test` brings one, because pkcs11js needs it. */
export function unkindModule(): string {
  if (built !== undefined) return built;
  const library = join(mkdtempSync(join(tmpdir(), 'wv-unkind-')), 'unkind.so');
  const made = spawnSync('cc', ['-O1', '-shared', '-fPIC', '-o', library, source, '-ldl'], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`unkind-module.c does not build: ${made.stderr ?? made.error?.message}`);
  built = library;
  return library;
}

export function unkind(token: TestToken, { delayMs = 0, calls = {}, when }: Unkindness): TestToken {
  const chosen = Object.entries(calls).map(([name, answer]) => `${CALLS[name as keyof typeof CALLS]}=${answer}`); // the keys of CALLS
  return {
    ...token,
    settings: { ...token.settings, module: unkindModule() },
    env: {
      ...token.env,
      WV_UNKIND_MODULE: token.settings.module,
      WV_UNKIND_DELAY_US: String(delayMs * 1000),
      WV_UNKIND_CALLS: chosen.join(','),
      ...(when !== undefined && { WV_UNKIND_WHEN: when }),
    },
  };
}
