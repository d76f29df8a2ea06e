// A real PKCS #11 token for one test file: SoftHSM in a temporary folder.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DevelopmentToken, setupDevelopmentToken } from '../../softhsm/setup.ts';
import { realProcess } from './real-process.ts';

export interface SoftHsm extends DevelopmentToken {
  readonly pin: string;
  readonly folder: string;
  /** What a child process needs in its environment to use this token. */
  readonly env: { readonly SOFTHSM2_CONF: string };
  /** Another token in the same folder. A process that has called C_Initialize already sees it only after C_Finalize and C_Initialize. */
  addToken(label: string): Promise<DevelopmentToken & { readonly pin: string }>;
  /** Call C_Finalize first: tests of one worker share one module instance. */
  remove(): void;
}

/**
 * Makes the token and points this process at it: SoftHSM reads SOFTHSM2_CONF at C_Initialize, so call this before it.
 * One token folder at a time in a process; test files of one worker run one after the other, each with its own.
 */
export async function startSoftHsm(label = 'weight-vault-test'): Promise<SoftHsm> {
  const folder = mkdtempSync(join(tmpdir(), 'wv-softhsm-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const token = await addToken(folder, label);
    realProcess.env['SOFTHSM2_CONF'] = token.conf;
    process.env['SOFTHSM2_CONF'] = token.conf; // jest's copy: what spawn() hands to children
    return { ...token, folder, env: { SOFTHSM2_CONF: token.conf }, addToken: (more) => addToken(folder, more), remove };
  } catch (error) {
    remove();
    throw error;
  }
}

async function addToken(folder: string, label: string): Promise<DevelopmentToken & { readonly pin: string }> {
  const token = await setupDevelopmentToken({ folder, label });
  return { ...token, pin: readFileSync(token.pinFile, 'utf8') };
}
