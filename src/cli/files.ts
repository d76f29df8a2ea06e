import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { VaultError } from '../domain/errors.ts';

const MAX_FILE_BYTES = 4 * 1024 * 1024;

/** A small file that the user named. A missing or unreadable one is wrong usage, said with its name. */
export async function readUserFile(file: string): Promise<Buffer> {
  try {
    const bytes = await readFile(file);
    if (bytes.length > MAX_FILE_BYTES) throw new VaultError('usage', `${file} is larger than 4 MiB`);
    return bytes;
  } catch (error) {
    if (error instanceof VaultError) throw error;
    throw new VaultError('usage', `${file} cannot be read`, { cause: error });
  }
}

export async function readUserJson<T extends z.ZodType>(file: string, schema: T): Promise<z.output<T>> {
  const text = (await readUserFile(file)).toString('utf8');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new VaultError('usage', `${file} is not JSON`, { cause });
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new VaultError('usage', `${file}: ${z.prettifyError(parsed.error).replaceAll('\n', ' ')}`);
  return parsed.data;
}

/** `name=value` texts as an object. Twice the same name is a mistake. */
export function parseAttributes(texts: readonly string[] = []): Record<string, string> {
  const attributes: Record<string, string> = Object.create(null); // a name like __proto__ is a name
  for (const text of texts) {
    const at = text.indexOf('=');
    if (at < 1) throw new VaultError('usage', '--attribute is name=value');
    const name = text.slice(0, at);
    if (Object.hasOwn(attributes, name)) throw new VaultError('usage', `--attribute ${name} is given twice`);
    attributes[name] = text.slice(at + 1);
  }
  return attributes;
}
