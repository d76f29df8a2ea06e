#!/usr/bin/env node
// `wv` on any Node from 20: finds the project's own Node 24 and runs the command line (main.ts) under it.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const pinned = join(here, '..', '..', 'node_modules', 'node', 'bin', 'node');
const node = [pinned, process.execPath].find(isRecent);

if (node === undefined) {
  console.error('wv: Node 24 is not installed here yet: run `npm test`, `npm run demo` or `npm ci` in the project first');
  process.exit(1);
}

// A signal must not open a debugger in a process that holds keys.
const flags = ['--disable-warning=ExperimentalWarning', '--disable-sigusr1'];
const child = spawn(node, [...flags, join(here, 'main.ts'), ...process.argv.slice(2)], { stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => forward(signal));
child.on('error', (error) => {
  console.error(`wv: cannot run ${node}: ${error.message}`);
  process.exit(1);
});
child.on('close', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));

/** Ctrl-C in a terminal reaches the child by itself: sending it again would look like pressing it twice. */
function forward(signal) {
  if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
}

/** Without `npm ci` having run the install script, the pinned file can be missing or a stand-in that does not start. */
function isRecent(file) {
  if (file === process.execPath) return Number.parseInt(process.versions.node, 10) >= 24;
  return existsSync(file) && spawnSync(file, ['-v'], { stdio: 'ignore' }).status === 0;
}
