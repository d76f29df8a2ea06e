/**
 * `npm run bench -- [AREA] [options]`: measures, each beside its peer in the same minute. A missed target is a finding, not an error.
 *
 * Exit 0: everything was measured. 1: something could not be. 2: the command makes no sense.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { basename, dirname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { type Area, type BenchOptions, type Report, type Row, rowOf } from './area.ts';
import { tableOf } from './table.ts';

const AREAS = fileURLToPath(new URL('./areas/', import.meta.url));
const known = readdirSync(AREAS)
  .filter((file) => file.endsWith('.ts'))
  .map((file) => basename(file, '.ts'))
  .sort();

interface Command extends BenchOptions {
  readonly areas: readonly string[];
  readonly json: string | undefined;
}

/** A sentence when the command makes no sense. */
function parseCommand(args: readonly string[]): Command | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: 'string' },
        mib: { type: 'string' },
        rounds: { type: 'string' },
        quick: { type: 'boolean', default: false },
        'no-peers': { type: 'boolean', default: false },
      },
    });
    const { quick, json } = values;
    const mib = Number(values.mib ?? (quick ? 8 : 1024));
    const rounds = Number(values.rounds ?? (quick ? 1 : 3));
    const [area, ...more] = positionals;
    if (more.length > 0) return 'one area at a time, or none for all';
    if (area !== undefined && !known.includes(area)) return `there is no area ${JSON.stringify(area)}`;
    if (!Number.isInteger(mib) || mib < 4 || mib > 65_536) return '--mib is a whole number from 4 to 65536';
    if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) return '--rounds is a whole number from 1 to 100';
    if (json !== undefined && !existsSync(dirname(resolve(json)))) return `the folder of ${json} does not exist`;
    return { areas: area === undefined ? known : [area], json, mib, rounds, quick, peers: !values['no-peers'] };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function main(args: readonly string[]): Promise<number> {
  const command = parseCommand(args);
  if (typeof command === 'string') {
    console.error(`${command}\n${usage(await Promise.all(known.map(async (name) => [name, await areaOf(name)] as const)))}`);
    return 2;
  }
  const rows: Row[] = [];
  let failures = 0;
  console.log(`${machine()}, node ${process.version}, load ${(loadavg()[0] ?? 0).toFixed(1)} at the start`);
  for (const name of command.areas) {
    const found: Row[] = [];
    const report: Report = {
      row: (measured) => found.push(rowOf(name, measured)),
      note: (text) => console.log(text),
      failed: (part, error) => {
        failures += 1;
        console.error(`${name}, ${part}: not measured: ${error instanceof Error ? error.message : String(error)}`);
      },
    };
    const area = await areaOf(name);
    await area.run(command, report).catch((error) => report.failed('all of it', error));
    console.log(`\n${name}\n${tableOf(found)}`);
    rows.push(...found);
  }
  const missed = rows.filter(({ met }) => met === false).length;
  const judged = rows.filter(({ met }) => met !== null).length;
  console.log(`\n${judged - missed} of ${judged} targets met. Load ${(loadavg()[0] ?? 0).toFixed(1)} at the end.`);
  if (command.json !== undefined) writeFileSync(command.json, `${JSON.stringify(rows, null, 2)}\n`);
  return failures === 0 ? 0 : 1;
}

async function areaOf(name: string): Promise<Area> {
  return (await import(pathToFileURL(`${AREAS}${name}.ts`).href)) as Area;
}

function machine(): string {
  const model = /^model name\s*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? cpus()[0]?.model ?? 'unknown processor';
  return `${model}, ${cpus().length} cores`;
}

function usage(areas: ReadonlyArray<readonly [string, Area]>): string {
  return [
    'usage: npm run bench -- [AREA] [--json FILE] [--mib N] [--rounds N] [--quick] [--no-peers]',
    ...areas.map(([name, { about }]) => `  ${name.padEnd(10)}${about}`),
  ].join('\n');
}

process.exitCode = await main(process.argv.slice(2));
