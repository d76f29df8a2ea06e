/**
 * The vault's user takes over what first-start.ts made: copied into its own folder, its own files, and gone from the hand-over.
 *
 *   node deploy/container/settle.ts [--from DIR] [--to DIR] [--head FILE] [--data-host ADDRESS] [--admin-host ADDRESS]
 *
 * The addresses are where the two planes will listen; the certificates are for the name that `wv init --host` was given.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    from: { type: 'string', default: '/handover/vault' },
    to: { type: 'string', default: '/vault' },
    head: { type: 'string' },
    'data-host': { type: 'string' },
    'admin-host': { type: 'string' },
  },
});
const [from, to] = [resolve(values.from), resolve(values.to)];
process.umask(0o077); // whatever the hand-over let the group do, here it is the vault's alone

if (existsSync(join(to, 'vault.json'))) refuse(`there is a vault in ${to} already`);
if (!existsSync(join(from, 'vault.json'))) refuse(`there is no finished vault in ${from}: run first-start first`);
copy(from, to, new Set(['vault.json', 'keeper'])); // the keeper's own folder was the ceremony's
writeConfig();
rmSync(from, { recursive: true });
console.log(`The vault is in ${to}, the kits in ${join(to, 'kits')}; the hand-over is empty.`);

function copy(source: string, target: string, without: ReadonlySet<string> = new Set()): void {
  mkdirSync(target, { recursive: true, mode: 0o700 });
  for (const entry of readdirSync(source, { withFileTypes: true })) {
    if (without.has(entry.name)) continue;
    const [one, other] = [join(source, entry.name), join(target, entry.name)];
    if (entry.isDirectory()) copy(one, other);
    else if (entry.isFile())
      writeFileSync(other, readFileSync(one), { mode: 0o600 }); // not copyFile: it brings the mode along
    else refuse(`${one} is neither a file nor a folder`);
  }
}

/** Last, and under its name only whole: a vault.json stands for a vault that is all there. */
function writeConfig(): void {
  const config = JSON.parse(readFileSync(join(from, 'vault.json'), 'utf8'));
  if (values['data-host'] !== undefined) config.dataPlane.host = values['data-host'];
  if (values['admin-host'] !== undefined) config.adminPlane.host = values['admin-host'];
  if (values.head !== undefined) {
    writeFileSync(values.head, '', { mode: 0o600, flag: 'wx', flush: true }); // never over a checkpoint that was kept before
    rmSync(join(to, config.logHead), { force: true });
    config.logHead = resolve(values.head);
  }
  const next = join(to, 'vault.json.new');
  writeFileSync(next, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600, flush: true });
  renameSync(next, join(to, 'vault.json'));
}

function refuse(why: string): never {
  console.error(`settle: ${why}`);
  process.exit(3);
}
