/** The Dockerfile as data, and an image without a container engine: the folder that its COPY lines and the lockfile's production packages make. */
import { cpSync, existsSync, linkSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ROOT } from '../tidy/source.ts';

export interface Instruction {
  readonly name: string;
  /** `--from=packages` and the like. */
  readonly flags: readonly string[];
  /** Words, or the strings of a JSON array. */
  readonly args: readonly string[];
  readonly text: string;
}

export interface Stage {
  readonly name: string;
  readonly from: string;
  readonly instructions: readonly Instruction[];
}

export function readDockerfile(text = readFileSync(join(ROOT, 'Dockerfile'), 'utf8')): readonly Stage[] {
  const stages: Array<Stage & { instructions: Instruction[] }> = [];
  for (const line of text
    .replaceAll(/^\s*#.*\n/gm, '')
    .replaceAll(/\\\n/g, ' ')
    .split('\n')) {
    const match = /^([A-Z]+)\s+(.*)$/.exec(line.trim());
    if (match === null) {
      if (line.trim() !== '') throw new Error(`not an instruction: ${line}`);
      continue;
    }
    const [, name = '', rest = ''] = match;
    const instruction = parse(name, rest);
    if (name === 'FROM') stages.push({ from: instruction.args[0] ?? '', name: instruction.args[2] ?? '', instructions: [] });
    else stages.at(-1)?.instructions.push(instruction);
  }
  return stages;
}

function parse(name: string, rest: string): Instruction {
  const words = rest.trim().split(/\s+/);
  const flags = words.slice(
    0,
    words.findIndex((word) => !word.startsWith('--')),
  );
  const body = words.slice(flags.length).join(' ');
  const list = /\[.*\]$/.exec(body)?.[0];
  return { name, flags, args: list === undefined ? body.split(' ') : (JSON.parse(list) as string[]), text: body };
}

export function stageOf(name: string): Stage {
  const stage = readDockerfile().find((one) => one.name === name);
  if (stage === undefined) throw new Error(`no stage ${name}`);
  return stage;
}

/** May this path of the project be in a build at all? Rules as Docker applies them: the last that matches wins. */
export function isSent(path: string): boolean {
  const rules = readFileSync(join(ROOT, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  const parents = path.split('/').map((_, at, parts) => parts.slice(0, at + 1).join('/'));
  let ignored = false;
  for (const rule of rules) {
    const pattern = globOf(rule.replace(/^!/, ''));
    if (parents.some((parent) => pattern.test(parent))) ignored = !rule.startsWith('!');
  }
  return !ignored;
}

/** `**` is any number of folders, `*` anything within one, dots at the front included: as in Docker, unlike in a shell. */
function globOf(rule: string): RegExp {
  const literal = (text: string) => text.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*');
  return new RegExp(`^${rule.split('**/').map(literal).join('(?:.*/)?')}$`);
}

/** Puts what the image of that target has under /app into `folder`/app, and the Node that runs this into `folder`/usr/local/bin. */
export function layImage(target: string, folder: string): void {
  const app = join(folder, 'app');
  for (const { name, flags, args } of stageOf(target).instructions) {
    if (name !== 'COPY') continue;
    const to = args.at(-1) ?? '';
    const from = flags.find((flag) => flag.startsWith('--from='))?.slice('--from='.length);
    if (from !== undefined) layPackages(from, app);
    else for (const source of args.slice(0, -1)) layFiles(source, join(app, to === './' ? source : to));
  }
  const node = join(folder, 'usr/local/bin/node');
  mkdirSync(dirname(node), { recursive: true });
  linkOrCopy(process.execPath, node);
}

function layFiles(source: string, to: string): void {
  if (!existsSync(join(ROOT, source))) throw new Error(`the Dockerfile copies ${source}, which does not exist`);
  cpSync(join(ROOT, source), to, { recursive: true, filter: (one) => isSent(one.slice(ROOT.length)) });
}

/** As `npm ci --omit=dev` would, from what is installed here; then without what the stage removes. */
function layPackages(stage: string, app: string): void {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; optional?: boolean }>;
  };
  const removed = stageOf(stage).instructions.flatMap(({ text }) => [...text.matchAll(/node_modules\/[\w.-]+/g)].map(([path]) => path));
  for (const [path, { dev = false, optional = false }] of Object.entries(lock.packages)) {
    if (path === '' || dev || removed.some((gone) => path === gone || path.startsWith(`${gone}/`))) continue;
    if (optional && !existsSync(join(ROOT, path))) continue; // made for another platform
    const own = (one: string) => !one.slice(ROOT.length + path.length).includes('/node_modules');
    cpSync(join(ROOT, path), join(app, path), { recursive: true, filter: own });
  }
  for (const path of removed) rmSync(join(app, path), { recursive: true, force: true });
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    cpSync(from, to); // another file system
  }
}
