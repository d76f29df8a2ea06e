/** How the demo speaks: numbered stages, one line per fact, a table at the end. */
const shown: Array<{ readonly what: string; readonly answer: string; readonly record: string }> = [];
let stages = 0;

export function stage(title: string): void {
  stages++;
  process.stdout.write(`\n\u001b[1m${stages}. ${title}\u001b[0m\n`);
}

export function say(line: string): void {
  process.stdout.write(`   ${line}\n`);
}

/** A fact for the closing table. `record`: the access record that says the same, filled in from the verified log. */
export function show(what: string, answer: string, record = ''): void {
  say(`${what}: ${answer}`);
  shown.push({ what, answer, record });
}

/** Throws, and so fails the demo, unless what happened is what had to happen. */
export function expect(what: string, got: unknown, wanted: unknown): void {
  if (got !== wanted) throw new Error(`${what}: got ${String(got)}, wanted ${String(wanted)}`);
}

/** Prints the table. `recordOf` names the leaf of a refusal code; a refusal without its record fails the demo. */
export function table(recordOf: (code: string) => string | undefined): void {
  const rows = shown.map(({ what, answer, record }) => {
    if (record === '') return [what, answer, ''];
    const leaf = recordOf(record);
    if (leaf === undefined) throw new Error(`${record} has no record in the access log`);
    return [what, answer, leaf];
  });
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => (row[column] ?? '').length), 6));
  const line = (row: readonly string[]) => `   ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd();
  process.stdout.write(`\n\u001b[1mWhat was shown\u001b[0m\n${[line(['What', 'Answer', 'Record']), ...rows.map(line)].join('\n')}\n`);
}
