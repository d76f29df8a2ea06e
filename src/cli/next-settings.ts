/** What is written beside vault.json: one with other settings, which stays beside until what it says is true, and last checkpoints. */
import { existsSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { readUserJson } from './files.ts';

export const nextFile = (configFile: string, why: string) => `${configFile}.${why}`;

/** `undefined` takes a setting away. Resolves with the new file, of mode 0600; rename it when all is done. */
export async function withSettings(configFile: string, settings: object, why: string): Promise<string> {
  const file = nextFile(configFile, why);
  const text = await readUserJson(configFile, z.looseObject({}));
  await writeFile(file, `${JSON.stringify({ ...text, ...settings }, undefined, 2)}\n`, { mode: 0o600 });
  await chmod(file, 0o600);
  return file;
}

/** Never over what an earlier rotation left there: each of those hands over from another key. Resolves with the name. */
export async function keepBeside(file: string, bytes: Uint8Array): Promise<string> {
  for (let count = 1; ; count++) {
    const name = count === 1 ? file : `${file}.${count}`;
    if (existsSync(name)) continue;
    await writeFile(name, bytes, { mode: 0o644, flag: 'wx' });
    return name;
  }
}
