/** kryoptic, a software token in Rust that keeps its objects in SQLite. It takes minutes to build, so `npm run soak -- --only tokens` does. */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { initToken, writePin } from './make.ts';
import type { TokenKind } from './token.ts';

export const KRYOPTIC_FOLDER = fileURLToPath(new URL('../../../.cache/kryoptic/', import.meta.url));
export const KRYOPTIC_LIBRARY = join(KRYOPTIC_FOLDER, 'libkryoptic_pkcs11.so');

const LABEL = 'wv-contract';
const OFFICER = '76543210';
const PIN = '65432101';

export const kryoptic: TokenKind = {
  name: 'kryoptic',
  missing: existsSync(KRYOPTIC_LIBRARY) ? undefined : 'it is not built here: npm run soak -- --only tokens',
  async start() {
    const folder = mkdtempSync(join(tmpdir(), 'wv-kryoptic-'));
    const conf = join(folder, 'kryoptic.conf');
    const database = join(folder, 'token');
    mkdirSync(database);
    writeFileSync(conf, `[[slots]]\nslot = 1\ndbtype = "sqlite"\ndbargs = "${join(database, 'token.sql')}"\n`);
    const env = { KRYOPTIC_CONF: conf };
    const remove = async () => rmSync(folder, { recursive: true, force: true });
    try {
      await initToken({ module: KRYOPTIC_LIBRARY, label: LABEL, soPin: OFFICER, pin: PIN }, env);
    } catch (error) {
      await remove();
      throw error;
    }
    const pinFile = writePin(join(folder, 'pin'), PIN);
    const lose = async () => renameSync(database, `${database}.away`);
    const giveBack = async () => renameSync(`${database}.away`, database);
    return { settings: { module: KRYOPTIC_LIBRARY, tokenLabel: LABEL, pinFile }, env, folder, lose, giveBack, remove };
  },
};
