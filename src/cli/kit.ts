/** An administrator's kit: the workstation's TLS key, the vault's certificate, and the session after `wv login`. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { createHttpsClient, type HttpsClient, type HttpsRequest } from '../agent/https-client.ts';
import { VaultError } from '../domain/errors.ts';
import { readUserFile, readUserJson } from './files.ts';

const kitFile = z.strictObject({ url: z.url(), administrator: z.string() });

export interface Kit {
  readonly administrator: string;
  readonly https: HttpsClient;
  /** JSON call with the session's token. */
  call(method: HttpsRequest['method'], path: string, value?: unknown): Promise<Record<string, unknown>>;
  sessionHeaders(): Promise<Record<string, string>>;
  saveSession(token: string): Promise<void>;
  forgetSession(): Promise<void>;
}

/** What every command of the admin plane is given (`addAdminCommand`). */
export interface AdminOptions {
  readonly kit: string;
  readonly namespace: string;
  readonly json?: boolean;
}

export function namespacePath(options: { readonly namespace: string }): string {
  return `/v1/namespaces/${encodeURIComponent(options.namespace)}`;
}

/** Opens the kit, runs `use`, and closes its connections. */
export async function withKit<T>(folder: string, use: (kit: Kit) => Promise<T>): Promise<T> {
  const kit = await openKit(folder);
  try {
    return await use(kit);
  } finally {
    kit.https.close();
  }
}

async function openKit(folder: string): Promise<Kit> {
  const { url, administrator } = await readUserJson(join(folder, 'kit.json'), kitFile);
  const text = async (name: string) => (await readUserFile(join(folder, name))).toString('utf8');
  const https = createHttpsClient({
    url,
    ca: await text('vault.crt'),
    certificate: await text('workstation.crt'),
    privateKey: await text('workstation.key'),
  });
  const sessionFile = join(folder, 'session');
  const sessionHeaders = async () => {
    const token = await readFile(sessionFile, 'utf8').catch((cause) => {
      throw new VaultError('session_missing', 'run `wv login` first', { cause });
    });
    return { Authorization: `Bearer ${token.trim()}` };
  };
  return {
    administrator,
    https,
    sessionHeaders,
    call: async (method, path, value) => {
      const answer = await https.json(method, path, value, await sessionHeaders());
      return (answer ?? {}) as Record<string, unknown>; // the admin plane answers JSON objects
    },
    saveSession: (token) => writeFile(sessionFile, token, { mode: 0o600 }),
    forgetSession: () => rm(sessionFile, { force: true }),
  };
}
