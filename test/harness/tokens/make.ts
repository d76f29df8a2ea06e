/** Runs init-token.ts. PINs go by standard input. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('./init-token.ts', import.meta.url));

export function initToken(order: object, env: Readonly<Record<string, string>>): Promise<void> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    let words = '';
    child.stderr.on('data', (piece) => (words += piece));
    child.on('error', fail);
    child.on('close', (code) => (code === 0 ? done() : fail(new Error(`the token was not made: ${words.trim()}`))));
    child.stdin.end(JSON.stringify(order));
  });
}

export function writePin(file: string, pin: string): string {
  writeFileSync(file, pin, { mode: 0o600 });
  return file;
}
