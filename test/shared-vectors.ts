/** Vectors of other projects live beside the checkout; a checkout alone skips them and says so. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, test } from '@jest/globals';

const FOLDER = new URL('../../shared/vectors/', import.meta.url);

/** Runs `define` with the parsed file, or leaves one skipped test that names what is missing. */
export function withVectors<T>(title: string, file: string, define: (vectors: T) => void): void {
  const url = new URL(file, FOLDER);
  describe(title, () => {
    if (existsSync(url)) define(JSON.parse(readFileSync(url, 'utf8')) as T);
    else test.skip(`not run: ${url.pathname} is not on this machine`, () => undefined);
  });
}
