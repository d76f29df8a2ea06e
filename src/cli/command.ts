/** How a command of `wv` is declared: a description, `--json`, and at least two real examples in its help. */
import { type Command, type CommandOptions, InvalidArgumentError, Option } from 'commander';
import { CLASS_NAMES, DEFAULTS } from '../domain/classes.ts';
import { EXIT_CODES } from './exit-codes.ts';

const EXITS = `Exit codes: ${Object.entries(EXIT_CODES)
  .map(([name, [exit]]) => `${exit} ${name}`)
  .join(', ')} (docs/cli.md)`;

/** Adds a command that does something. `usage` is commander's: `set <file...>`. Each example is what follows `$ ` in a shell. */
export function addCommand(
  parent: Command,
  usage: string,
  description: string,
  examples: readonly [string, string, ...string[]],
  settings: CommandOptions = {},
): Command {
  return parent
    .command(usage, settings)
    .description(description)
    .option('--json', 'print one JSON document on standard output, and an error as JSON on standard error')
    .addHelpText('after', `\nExamples:\n${examples.map((example) => `  $ ${example}`).join('\n')}\n\n${EXITS}`);
}

/** The same for a command of the admin plane: it also takes `--kit` and `--namespace`. Use with `withKit`. */
export function addAdminCommand(
  parent: Command,
  usage: string,
  description: string,
  examples: readonly [string, string, ...string[]],
  settings: CommandOptions & { readonly namespace?: readonly [meaning: string, otherwise: string] } = {},
): Command {
  const { namespace: [meaning, otherwise] = ['the namespace', 'default'], ...rest } = settings;
  return addCommand(parent, usage, description, examples, rest)
    .requiredOption('--kit <folder>', "the administrator's kit, made by `wv init`")
    .option('--namespace <name>', meaning, otherwise);
}

/** A command that only holds others, e.g. `policy`. Two files may add to one group. */
export function addGroup(parent: Command, name: string, description: string): Command {
  return parent.commands.find((one) => one.name() === name) ?? parent.command(name).description(description);
}

/** For an option that is given once for each value. Commander's lists (`<file...>`) would take the operands behind them too. */
export const collect = (one: string, all: readonly string[] = []): readonly string[] => [...all, one];

/** `--attribute name=value`, as often as wanted. `parseAttributes` reads what it collected. */
export function attributeOption(command: Command): Command {
  return command.option('--attribute <name=value>', 'what policies may ask for, e.g. fleet=production; as often as wanted', collect);
}

export const classOption = () => new Option('--class <class>', 'how much a release of it demands').choices(CLASS_NAMES);

/** Parses an option or argument that is a plain number; anything else is wrong usage, and nothing is asked of a vault. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^[0-9]{1,10}$/.test(text) || value < least || value > most) throw new InvalidArgumentError(`It is ${least} to ${most}.`);
    return value;
  };
}

const MAX_STREAMS = 16;

/** `--streams`, parsed: how much goes over the wire at the same time. */
export function streamsOption(command: Command): Command {
  const parse = wholeNumber(1, MAX_STREAMS);
  return command.option('--streams <n>', `how many at the same time, 1 to ${MAX_STREAMS}`, parse, DEFAULTS.fetchStreams);
}
