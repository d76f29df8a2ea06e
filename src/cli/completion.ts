/**
 * `wv completion`: a script for the shell, made from the commands themselves. It holds everything and asks nobody: a key press should not
 * wait for a process, and names of models are no business of a shell's history.
 */
import type { Argument, Command, Option } from 'commander';
import { VaultError } from '../domain/errors.ts';
import { addCommand } from './command.ts';
import { print } from './output.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

export function registerCompletion(program: Command): void {
  const command = addCommand(program, 'completion', 'Print a completion script for your shell', [
    'wv completion bash > ~/.local/share/bash-completion/completions/wv',
    'wv completion zsh > ~/.zfunc/_wv',
    'wv completion fish > ~/.config/fish/completions/wv.fish',
  ]);
  const shell = command.createArgument('<shell>', SHELLS.join(', ')).choices(SHELLS);
  command.addArgument(shell).action(async (name: string, options: { json?: boolean }) => {
    const { createProgram } = await import('./commands.ts'); // not above: it names this file
    const script = completionScript(name, await createProgram());
    print(options, { shell: name, script }, [script.trimEnd()]);
  });
}

/** The script for one shell and the whole tree below `program`. */
export function completionScript(shell: string, program: Command): string {
  const places = placesOf(program);
  if (shell === 'bash') return bash(places);
  if (shell === 'zsh') return `#compdef wv\nautoload -U +X bashcompinit && bashcompinit\n${bash(places)}`;
  if (shell === 'fish') return fish(places);
  throw new VaultError('usage', `no completion for ${shell}`);
}

/** What can stand after one command: `wv policy`, `wv policy set`. */
interface Place {
  readonly path: string;
  readonly subcommands: ReadonlyArray<{ readonly name: string; readonly description: string }>;
  readonly options: ReadonlyArray<{ readonly flag: string; readonly description: string; readonly value: Value | undefined }>;
  readonly argument: Value | undefined;
}

/** What a value can be: one of these, a file, a folder, or anything. */
type Value = readonly string[] | 'file' | 'folder' | 'unknown';

function placesOf(command: Command, above = ''): Place[] {
  const path = `${above}${command.name()}`;
  const help = command.createHelp();
  const subcommands = help.visibleCommands(command).map((one) => ({ name: one.name(), description: one.description() }));
  const options = help
    .visibleOptions(command)
    .map((one) => ({ flag: one.long ?? one.flags, description: one.description, value: optionValue(one) }));
  const place = { path, subcommands, options, argument: argumentValue(command.registeredArguments) };
  return [place, ...command.commands.flatMap((one) => placesOf(one, `${path} `))];
}

function optionValue(option: Option): Value | undefined {
  if (!option.required && !option.optional) return undefined;
  if (option.argChoices !== undefined) return option.argChoices;
  const [, named = ''] = /<([^>]+)>/.exec(option.flags) ?? [];
  if (named.startsWith('folder')) return 'folder';
  return /^(?:file|path)/.test(named) ? 'file' : 'unknown';
}

/** Arguments are files, but for those that name something in the vault. */
function argumentValue(all: readonly Argument[]): Value | undefined {
  const [first] = all;
  if (first === undefined) return undefined;
  if (first.argChoices !== undefined) return first.argChoices;
  if (first.name() === 'folder') return 'folder';
  return /^(?:model|version|requester|request|key|name|digest|administrator)$/.test(first.name()) ? 'unknown' : 'file';
}

/** A word for a shell. Nothing in a command's name needs it; a test of the house would not notice when one day something does. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function bash(places: readonly Place[]): string {
  const words = (list: readonly string[]) => `_wv_words ${list.map(quoted).join(' ')}`;
  const offer = (value: Value) =>
    typeof value === 'string' ? { file: '_wv_files', folder: '_wv_folders', unknown: ':' }[value] : words(value);
  const values = places.flatMap(({ path, options }) =>
    options.flatMap(({ flag, value }) => (value === undefined ? [] : [`    ${quoted(`${path} ${flag}`)}) ${offer(value)}; return ;;`])),
  );
  const flags = places.map(({ path, options }) => `      ${quoted(path)}) ${words(options.map(({ flag }) => flag))} ;;`);
  const rest = places.map(({ path, subcommands, argument }) => {
    const names = subcommands.map(({ name }) => name);
    return `    ${quoted(path)}) ${names.length > 0 ? words(names) : offer(argument ?? 'unknown')} ;;`;
  });
  return `# bash completion for wv, made by \`wv completion bash\`
_wv_words() { local IFS=$'\\n'; COMPREPLY=($(compgen -W "$*" -- "$cur")); }
_wv_files() { local IFS=$'\\n'; COMPREPLY=($(compgen -f -- "$cur")); compopt -o filenames 2>/dev/null; return 0; }
_wv_folders() { local IFS=$'\\n'; COMPREPLY=($(compgen -d -- "$cur")); compopt -o filenames 2>/dev/null; return 0; }
_wv() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} path=wv i
  COMPREPLY=()
  # --class=public comes as three words
  if [ "$cur" = '=' ]; then cur=''; elif [ "$prev" = '=' ] && [ "$COMP_CWORD" -gt 2 ]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path \${COMP_WORDS[i]}" in
      ${places
        .slice(1)
        .map(({ path }) => quoted(path))
        .join(' | ')}) path="$path \${COMP_WORDS[i]}" ;;
    esac
  done
  case "$path $prev" in
${values.join('\n')}
  esac
  case "$cur" in
    -*)
      case "$path" in
${flags.join('\n')}
      esac
      return
      ;;
  esac
  case "$path" in
${rest.join('\n')}
  esac
}
complete -F _wv wv
`;
}

function fish(places: readonly Place[]): string {
  const lines = places.flatMap(({ path, subcommands, options, argument }) => {
    const at = `complete -c wv -n ${quoted(`__wv_at ${path}`)}`;
    return [
      ...subcommands.map(({ name, description }) => `${at} -a ${quoted(name)} -d ${quoted(description)}`),
      ...(subcommands.length === 0 && argument !== undefined ? fishValue(at, argument) : []),
      ...options.map(
        ({ flag, description, value }) => `${at} -l ${quoted(flag.replace(/^--/, ''))}${fishOption(value)} -d ${quoted(description)}`,
      ),
    ];
  });
  return `# fish completion for wv, made by \`wv completion fish\`
function __wv_at
    set -l path wv
    for word in (commandline -opc)[2..-1]
        if contains -- "$path $word" ${places
          .slice(1)
          .map(({ path }) => quoted(path))
          .join(' ')}
            set path "$path $word"
        end
    end
    test "$path" = "$argv"
end
complete -c wv -f
${lines.join('\n')}
`;
}

function fishValue(at: string, value: Value): string[] {
  if (value === 'unknown') return [];
  return [typeof value === 'string' ? `${at} -F` : `${at} -a ${quoted(value.join(' '))}`];
}

function fishOption(value: Value | undefined): string {
  if (value === undefined) return '';
  if (value === 'unknown') return ' -x';
  return typeof value === 'string' ? ' -r -F' : ` -x -a ${quoted(value.join(' '))}`;
}
