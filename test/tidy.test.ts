/** The house rules of docs/architecture.md, held by reading the source. The tables are in tidy/house.ts; messages say what to do. */
import { basename } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { CLASSES, DEFAULTS } from '../src/domain/classes.ts';
import { ERROR_CODES } from '../src/domain/errors.ts';
import { adminPlaneRoutes } from '../src/http/admin-plane/routes.ts';
import { dataPlaneRoutes } from '../src/http/data-plane/routes.ts';
import { ADMIN_ACTIONS } from '../src/policy/actions.ts';
import type { Vault } from '../src/vault/vault.ts';
import {
  ADAPTER_EXCEPTIONS,
  ADAPTERS,
  EMPTY_NAMES,
  MAX_LINES,
  MAY_IMPORT,
  NOT_IMPORTED,
  OPEN_ROUTES,
  PACKAGE_HOMES,
  SHARED_ROUTES,
} from './tidy/house.ts';
import { filesOf, type Import, importsOf, isBelow, ROOT, tableRows, textOf, withoutComments } from './tidy/source.ts';

const isCode = (file: string) => /\.(?:ts|mjs)$/.test(file);
const sources = filesOf('src').filter(isCode);
const everyCode = ['src', 'test', 'deploy', 'bench', 'softhsm'].flatMap(filesOf).filter(isCode);
const imports = sources.flatMap(importsOf);
/** From src on: `vault/release.ts`. */
const inSrc = (file: string) => file.slice('src/'.length);
const ours = imports.flatMap((one) => (one.file === undefined ? [] : [{ from: inSrc(one.from), to: inSrc(one.file) }]));
const packages = JSON.parse(textOf('package.json')) as { dependencies: Record<string, string>; devDependencies: Record<string, string> };

test('the source is read: a rule about nothing would always hold', () => {
  expect(sources.length).toBeGreaterThan(100);
  expect(ours.length).toBeGreaterThan(500);
});

describe('directions: edges -> vault -> mechanisms -> domain', () => {
  test('every folder and file directly in src has its row in MAY_IMPORT', () => {
    const parts = [...new Set(sources.map((file) => inSrc(file).split('/')[0]))];
    expect(parts.filter((part) => !(part !== undefined && part in MAY_IMPORT))).toEqual([]);
  });

  test.each(Object.entries(MAY_IMPORT))('%s imports what is below it and nothing else', (part, allowed) => {
    const wrong = ours.filter(({ from, to }) => isBelow(from, part) && ![part, ...allowed].some((prefix) => isBelow(to, prefix)));
    expect(wrong.filter((one) => !isException(one)).map(arrow)).toEqual([]);
  });

  test('every imported file exists, under the name it is imported by', () => {
    const known = new Set(sources.map(inSrc));
    expect(ours.filter(({ to }) => !known.has(to)).map(arrow)).toEqual([]);
  });
});

describe('adapters are named by compose.ts alone', () => {
  test.each(ADAPTERS)('%s', (adapter) => {
    const wrong = ours.filter(({ from, to }) => isBelow(to, adapter) && !isBelow(from, adapter) && from !== 'compose.ts');
    expect(wrong.filter((one) => !isException(one)).map(arrow)).toEqual([]);
  });

  test('every exception is still needed: remove the row otherwise', () => {
    const needed = (row: (typeof ADAPTER_EXCEPTIONS)[number]) => ours.some(({ from, to }) => from === row.file && isBelow(to, row.imports));
    expect(ADAPTER_EXCEPTIONS.filter((row) => !needed(row))).toEqual([]);
  });
});

describe('each third-party package has one home', () => {
  const foreign = imports.filter((one): one is Import & { packageName: string } => one.packageName !== undefined);

  test('and is imported there only; a new home is a row in PACKAGE_HOMES with its reason', () => {
    const away = foreign.filter(({ from, packageName }) => !(PACKAGE_HOMES[packageName] ?? []).some((home) => isBelow(inSrc(from), home)));
    expect(away.map(({ from, packageName }) => `${packageName} in ${from}`)).toEqual([]);
  });

  test('and is used in every home it has', () => {
    const used = (name: string, home: string) => foreign.some((one) => one.packageName === name && isBelow(inSrc(one.from), home));
    const unused = Object.entries(PACKAGE_HOMES).flatMap(([name, homes]) =>
      homes.filter((home) => !used(name, home)).map((home) => `${name} in ${home}`),
    );
    expect(unused).toEqual([]);
  });

  test('every dependency of package.json is used, and every import of src is a dependency', () => {
    const used = new Set([...foreign.map((one) => one.packageName), ...Object.keys(NOT_IMPORTED)]);
    expect([...used].sort()).toEqual(Object.keys(packages.dependencies).sort());
  });

  test('tests, benchmarks and deploy import nothing that package.json does not name', () => {
    const declared = { ...packages.dependencies, ...packages.devDependencies };
    const undeclared = everyCode.flatMap(importsOf).filter(({ packageName }) => packageName !== undefined && !(packageName in declared));
    expect(undeclared.map(({ from, specifier }) => `${specifier} in ${from}`)).toEqual([]);
  });

  test('every version is pinned', () => {
    const versions = Object.entries({ ...packages.dependencies, ...packages.devDependencies });
    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });
});

describe('every route names the Cedar action that decides it', () => {
  const nobody = {} as Vault; // a route table is read here, never served
  const planes = { data: dataPlaneRoutes(nobody), admin: adminPlaneRoutes(nobody) };

  test.each(['data', 'admin'] as const)('%s plane: the routes open to everyone are exactly the known ones', (plane) => {
    const open = planes[plane].filter((route) => typeof route.action === 'object');
    expect(open.map((route) => `${route.method} ${route.path}`).sort()).toEqual([...OPEN_ROUTES[plane], ...SHARED_ROUTES].sort());
    for (const { action } of open) expect(typeof action === 'object' && action.open.length > 10).toBe(true);
  });

  test('data plane: every other route is a release', () => {
    const actions = planes.data.map((route) => route.action).filter((action) => typeof action === 'string');
    expect(new Set(actions)).toEqual(new Set(['release']));
  });

  test('admin plane: every other route names an action of policy/actions.ts', () => {
    const known: readonly string[] = ADMIN_ACTIONS;
    const unknown = planes.admin.filter(({ action }) => typeof action === 'string' && !known.includes(action));
    expect(unknown.map((route) => `${route.method} ${route.path}: ${String(route.action)}`)).toEqual([]);
  });

  test('no route stands in both planes but health and the description, and none twice', () => {
    const all = [...planes.data, ...planes.admin].map((route) => `${route.method} ${route.path}`);
    expect(all.filter((route, at) => all.indexOf(route) !== at)).toEqual([...SHARED_ROUTES]);
  });

  test('every admin action is asked for somewhere in vault/: an action nobody asks for protects nothing', () => {
    const asked = sources
      .filter((file) => file.startsWith('src/vault/'))
      .map(textOf)
      .join('\n');
    expect(ADMIN_ACTIONS.filter((action) => !asked.includes(`'${action}'`))).toEqual([]);
  });
});

describe('docs/errors.md and ERROR_CODES are equal', () => {
  test('code, HTTP status and retry', () => {
    const inCode = Object.entries(ERROR_CODES).map(([code, [status, retry]]) => `${code} ${status} ${retry}`);
    const inPage = tableRows('docs/errors.md').map(([code, status, retry]) => `${code} ${status} ${retry}`);
    expect(inPage.sort()).toEqual(inCode.sort());
  });

  test('every row says what it means and what to do', () => {
    expect(tableRows('docs/errors.md').filter((row) => row.length !== 5 || row.some((cell) => cell === ''))).toEqual([]);
  });

  test('every code is used: remove it from the table and the page when nothing answers with it', () => {
    const code = sources
      .filter((file) => file !== 'src/domain/errors.ts')
      .map(textOf)
      .join('\n');
    const unused = Object.keys(ERROR_CODES).filter((one) => !code.includes(`'${one}'`));
    expect(unused).toEqual([]);
  });
});

describe('docs/defaults.md and the code are equal', () => {
  const rows = tableRows('docs/defaults.md');

  test('DEFAULTS', () => {
    const page = rows.filter(([name = '']) => !(name in CLASSES)).map(([name, value]) => [name, Number(value?.replaceAll(',', ''))]);
    expect(Object.fromEntries(page)).toEqual(DEFAULTS);
  });

  test('CLASSES', () => {
    const [, ...columns] = (/^\| class \|.*$/m.exec(textOf('docs/defaults.md'))?.[0] ?? '')
      .slice(0, -1)
      .split('|')
      .map((cell) => cell.trim().replaceAll('`', ''));
    const page = rows
      .filter(([name = '']) => name in CLASSES)
      .map(([name, ...cells]) => {
        return [name, Object.fromEntries(cells.map((cell, at) => [columns[at + 1], cellValue(cell)]))];
      });
    expect(Object.fromEntries(page)).toEqual(CLASSES);
  });

  function cellValue(cell: string): boolean | number | string {
    if (cell === 'yes' || cell === 'no') return cell === 'yes';
    return /^[\d,]+$/.test(cell) ? Number(cell.replaceAll(',', '')) : cell;
  }
});

describe('names and types', () => {
  test('no file or folder has a name that says nothing', () => {
    const empty: readonly string[] = EMPTY_NAMES;
    const words = (part: string) => part.replace(/(?:\.test)?\.[a-z]+$/, '').split('-');
    expect(everyCode.filter((file) => file.split('/').some((part) => words(part).some((word) => empty.includes(word))))).toEqual([]);
  });

  test('files and folders are kebab-case', () => {
    expect(
      everyCode.filter((file) => !/^(?:[a-z0-9]+(?:-[a-z0-9]+)*\/)*[a-z0-9]+(?:-[a-z0-9]+)*(?:\.test)?\.(?:ts|mjs)$|read_/.test(file)),
    ).toEqual([]);
  });

  test('nothing is `any`, and no error of the compiler is silenced', () => {
    const any = /(?:[:<,|&(]|\bas)\s*any\b(?!\w)|\bany\[\]/;
    const typed = sources.filter((file) => file.endsWith('.ts'));
    expect(typed.filter((file) => any.test(withoutComments(textOf(file))))).toEqual([]);
    expect(typed.filter((file) => /@ts-(?:ignore|nocheck|expect-error)/.test(textOf(file)))).toEqual([]);
  });

  test(`no source file is longer than ${MAX_LINES} lines: it is probably two stories`, () => {
    const long = sources.map((file) => ({ file, lines: textOf(file).split('\n').length })).filter(({ lines }) => lines > MAX_LINES);
    expect(long).toEqual([]);
  });
});

describe('the project runs anywhere', () => {
  test('package-lock.json names no registry, host or path', () => {
    const lock = textOf('package-lock.json');
    expect(lock).not.toMatch(/"resolved"|"link": true|file:|git\+|:\/\/(?:localhost|127\.|10\.|192\.168\.)/);
  });

  test('no file holds an absolute path of the machine it was written on', () => {
    const here = ROOT.replace(/\/$/, '');
    const deep = here.split('/').length > 2 ? [here] : []; // `/app` is a word, `/work/main` is a place
    const home = /(?:^|[\s"'`(=:])\/(?:home|Users)\/[a-z][\w-]*\//m;
    const named = filesOf('')
      .filter(isText)
      .filter((file) => {
        const text = textOf(file);
        return deep.some((path) => text.includes(`${path}/`)) || home.test(text);
      });
    expect(named).toEqual([]);
  });

  function isText(file: string): boolean {
    return /\.(?:ts|mjs|json|md|cedar|cedarschema|txt|py|yml|yaml)$|^[^.]+$|^\.[^.]+$/.test(basename(file));
  }
});

interface Arrow {
  readonly from: string;
  readonly to: string;
}

function isException({ from, to }: Arrow): boolean {
  return ADAPTER_EXCEPTIONS.some((row) => row.file === from && isBelow(to, row.imports));
}

function arrow({ from, to }: Arrow): string {
  return `${from} -> ${to}`;
}
