/** A PKCS#11 token for tests, whatever makes it. Each is skipped, with the reason, where it cannot be had. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Pkcs11Settings } from '../../../src/keys/pkcs11/settings.ts';

export interface TestToken {
  /** What a keeper is started with. */
  readonly settings: Pkcs11Settings;
  /** All of the keeper's environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly folder: string;
  /** The token goes away as far as that can be done here: its device, database or daemon ends. Absent: it cannot. */
  lose?(): Promise<void>;
  /** After `lose`: it is back, with the objects it had. */
  giveBack?(): Promise<void>;
  remove(): Promise<void>;
}

export interface TokenKind {
  readonly name: string;
  /** Why it cannot be tested here; undefined when it can. */
  readonly missing: string | undefined;
  start(): Promise<TestToken>;
}

/** The first place that has the library, multi-arch folders included. */
export function findLibrary(...names: readonly string[]): string | undefined {
  const triplets = existsSync('/usr/lib') ? readdirSync('/usr/lib').filter((name) => name.includes('-linux-gnu')) : [];
  const folders = ['/usr/lib64', ...triplets.map((name) => join('/usr/lib', name)), '/usr/lib', '/usr/local/lib'];
  return folders.flatMap((folder) => names.map((name) => join(folder, name))).find((path) => existsSync(path));
}

export function hasCommand(name: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/local/sbin', '/usr/sbin'];
  return folders.some((folder) => folder !== '' && existsSync(join(folder, name)));
}
