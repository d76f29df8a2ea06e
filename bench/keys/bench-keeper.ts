/** A keeper on a SoftHSM token of its own, with two versions of a KEK and something wrapped under the first. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DevelopmentToken, setupDevelopmentToken } from '../../softhsm/setup.ts';
import type { KeyId, ModelId, Namespace, VaultId, VersionId } from '../../src/domain/ids.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import { createKeeperClient } from '../../src/keys/keeper/client.ts';
import { startKeeper } from '../../src/keys/keeper/supervisor.ts';
import type { Pkcs11Settings } from '../../src/keys/pkcs11/settings.ts';
import type { KeyProvider, KeyRef } from '../../src/keys/port.ts';
import { dekWrapAad, type WrappedKey } from '../../src/keys/wrapped-key.ts';
import { unkind } from '../../test/harness/tokens/unkind-module.ts';

export const LABEL = 'bench';
const ids = {
  vaultId: '01890000-0000-7000-8000-000000000001' as VaultId,
  namespace: 'lab' as Namespace,
  modelId: '01890000-0000-7000-8000-000000000002' as ModelId,
  versionId: '01890000-0000-7000-8000-000000000003' as VersionId,
};
export const kek = (version: number): KeyRef => ({ id: 'kek-default' as KeyId, version });
export const aadOf = (version: number): Uint8Array => dekWrapAad(ids, kek(version));

export interface BenchToken {
  readonly token: DevelopmentToken;
  readonly folder: string;
  remove(): void;
}

export async function makeToken(): Promise<BenchToken> {
  const folder = mkdtempSync(join(tmpdir(), 'wv-bench-keys-'));
  return {
    token: await setupDevelopmentToken({ folder, label: LABEL }),
    folder,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

export interface BenchKeeper {
  readonly client: KeyProvider;
  readonly wrapped: WrappedKey;
  stop(): Promise<void>;
}

let count = 0;

/** `delayMs`: on top of every call into the library. */
export async function startBenchKeeper(
  { token, folder }: BenchToken,
  settings: Partial<Pkcs11Settings>,
  delayMs = 0,
): Promise<BenchKeeper> {
  const plain = {
    settings: { module: token.module, tokenLabel: LABEL, pinFile: token.pinFile },
    env: { SOFTHSM2_CONF: token.conf },
    folder,
    remove: async () => undefined,
  };
  const slowed = delayMs === 0 ? plain : unkind(plain, { delayMs });
  const keeper = await startKeeper({
    ...slowed.settings,
    socket: join(folder, `k${++count}`, 'socket'),
    ceremony: true,
    ...settings,
    env: slowed.env,
  });
  const client = createKeeperClient({ socket: keeper.socket, deadlineMs: 60_000 });
  for (const version of [1, 2])
    await client.generate(kek(version), 'kek').catch((error) => {
      if (error.code !== 'key_exists') throw error;
    });
  const wrapped = await client.wrap(kek(1), new SecretBytes(new Uint8Array(32).fill(7)), aadOf(1));
  return {
    client,
    wrapped,
    stop: async () => {
      await client.close();
      await keeper.stop();
    },
  };
}
