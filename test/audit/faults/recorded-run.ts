/** What a process did to the files of a folder, call by call with every byte, as strace saw it: from this crash-image.ts makes what a power cut could leave. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

/** `path` from the folder on; `` is the folder itself. */
export type Step =
  | { readonly kind: 'write'; readonly path: string; readonly bytes: Uint8Array; readonly at: number | 'end' }
  | { readonly kind: 'truncate'; readonly path: string; readonly size: number }
  /** Of a file or of a folder, complete when the next step begins. */
  | { readonly kind: 'sync'; readonly path: string }
  /** Where it is there already: emptied, if the call was to do that. */
  | { readonly kind: 'create'; readonly path: string; readonly empties: boolean }
  | { readonly kind: 'mkdir' | 'unlink'; readonly path: string }
  | { readonly kind: 'rename' | 'link'; readonly path: string; readonly to: string }
  /** The process said a line on its standard output. */
  | { readonly kind: 'said'; readonly line: string };

const KNOWN = 'openat,mkdir,pwrite64,write,ftruncate,fsync,fdatasync,rename,link,unlink';
/** Calls that this file would have to understand if the product began to use them. */
const UNKNOWN =
  'writev,pwritev,pwritev2,truncate,copy_file_range,fallocate,rmdir,unlinkat,renameat,renameat2,linkat,mkdirat,sync_file_range';

/** Runs `script` under strace. Throws when it does not end well, or did something to the folder that cannot be replayed. */
export function recordRun(folder: string, script: string, args: readonly string[]): readonly Step[] {
  const place = mkdtempSync(join(tmpdir(), 'wv-trace-'));
  try {
    const trace = join(place, 'trace');
    const strace = ['-f', '-qq', '-y', '-xx', '-s', '1000000', '-o', trace, '-e', `trace=${KNOWN},${UNKNOWN}`];
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', script, folder, ...args];
    const env = { ...process.env, UV_THREADPOOL_SIZE: '1' };
    const ran = spawnSync('strace', [...strace, ...node], { env, stdio: ['ignore', 'pipe', 'pipe'], timeout: 200_000 });
    if (ran.status !== 0) throw new Error(`the recorded run ended with ${ran.status}: ${ran.stderr}`);
    return stepsIn(readFileSync(trace, 'latin1'), folder);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

function stepsIn(trace: string, folder: string): readonly Step[] {
  const steps: Step[] = [];
  const begun = new Map<string, string>();
  for (const line of trace.split('\n')) {
    const [, thread = '', text = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (text.endsWith('<unfinished ...>')) begun.set(thread, text.slice(0, -'<unfinished ...>'.length).trimEnd());
    else {
      const rest = /^<\.\.\. [a-z0-9_]+ resumed>(.*)$/.exec(text)?.[1];
      const step = stepOf(rest === undefined ? text : `${begun.get(thread) ?? ''}${rest}`, folder);
      if (step !== undefined) steps.push(step);
    }
  }
  return steps;
}

const STRING = '"((?:\\\\x[0-9a-f]{2})*)"';
const LINE = new RegExp(`^([a-z0-9_]+)\\((?:AT_FDCWD<[^>]*>, )?(?:(\\d+)<((?:\\\\x[0-9a-f]{2})*)>|${STRING})(?:, )?(.*)\\) += (\\d+)`);

/** Undefined for what failed, or has nothing to do with the folder. */
function stepOf(text: string, folder: string): Step | undefined {
  const [, call = '', handle = '', opened, named, rest = ''] = LINE.exec(text) ?? [];
  const where = textOf(opened ?? named ?? '');
  if (call === 'write' && handle === '1') return { kind: 'said', line: textOf(rest.slice(1, rest.lastIndexOf('"'))).trimEnd() };
  if (where !== folder && !where.startsWith(`${folder}/`)) return undefined;
  const path = relative(folder, where);
  if (UNKNOWN.split(',').includes(call)) throw new Error(`${call} of ${path}: a step that cannot be replayed`);
  switch (call) {
    case 'openat':
      return /O_TRUNC|O_CREAT/.test(rest) ? { kind: 'create', path, empties: rest.includes('O_TRUNC') } : undefined;
    case 'pwrite64':
      return { kind: 'write', path, bytes: bytesOf(rest), at: Number(/, (\d+)$/.exec(rest)?.[1]) };
    case 'write':
      return { kind: 'write', path, bytes: bytesOf(rest), at: 'end' };
    case 'ftruncate':
      return { kind: 'truncate', path, size: Number(rest) };
    case 'fsync':
    case 'fdatasync':
      return { kind: 'sync', path };
    case 'mkdir':
    case 'unlink':
      return { kind: call, path };
    case 'rename':
    case 'link':
      return { kind: call, path, to: relative(folder, textOf(rest.slice(1, -1))) };
    default:
      return undefined;
  }
}

function bytesOf(rest: string): Uint8Array {
  return Buffer.from(rest.slice(1, rest.indexOf('"', 1)).replaceAll('\\x', ''), 'hex');
}

function textOf(escaped: string): string {
  return Buffer.from(escaped.replaceAll('\\x', ''), 'hex').toString('utf8');
}
