/** vault.json with other settings, beside it: the old one stays until what the new one says is true. */
import { chmod, readFile, writeFile } from 'node:fs/promises';

export const nextFile = (configFile: string, why: string) => `${configFile}.${why}`;

/** `undefined` takes a setting away. Resolves with the new file, of mode 0600; rename it when all is done. */
export async function withSettings(configFile: string, settings: object, why: string): Promise<string> {
  const file = nextFile(configFile, why);
  const text = JSON.parse(await readFile(configFile, 'utf8')) as object;
  await writeFile(file, `${JSON.stringify({ ...text, ...settings }, undefined, 2)}\n`, { mode: 0o600 });
  await chmod(file, 0o600);
  return file;
}
