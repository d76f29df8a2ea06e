/** `wv keys rewrap`: how far the keys are rewrapped, how fast, and once more. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { VaultError } from '../domain/errors.ts';
import { KEYS_PER_SECOND } from '../domain/key-state.ts';
import { addAdminCommand, wholeNumber } from './command.ts';
import { rewrapAnswer, rewrapLines } from './keys-shown.ts';
import { type AdminOptions, type Kit, withKit } from './kit.ts';
import { print } from './output.ts';
import { type ProgressOptions, progressOption, startProgress } from './progress.ts';

interface RewrapOptions extends AdminOptions, ProgressOptions {
  readonly status?: boolean;
  readonly watch?: boolean;
  readonly rate?: number;
}

const LOOK_MS = 500;

export function registerRewrap(keys: Command): void {
  progressOption(
    addAdminCommand(
      keys,
      'rewrap',
      'Show how far the rewrap is, set how fast it goes, or go through all keys once more',
      [
        'wv keys rewrap --kit kits/carol --status',
        'wv keys rewrap --kit kits/carol --rate 50 --watch',
        'wv keys rewrap --kit kits/carol --json',
      ],
      { namespace: ['always all of them', 'system'] },
    )
      .option('--status', 'only show it')
      .option(
        '--rate <n>',
        'keys a second at most, 1 to 5000; it stays until it is set again',
        wholeNumber(KEYS_PER_SECOND.least, KEYS_PER_SECOND.most),
      )
      .option('--watch', 'wait until it is finished; Ctrl-C ends the watching only'),
  ).action((options: RewrapOptions) => withKit(options.kit, (kit) => rewrap(kit, options)));
}

async function rewrap(kit: Kit, options: RewrapOptions): Promise<void> {
  if (options.status === true && options.rate !== undefined) throw new VaultError('usage', 'give --status or --rate, not both');
  const keysPerSecond = options.rate === undefined ? {} : { keysPerSecond: options.rate };
  if (options.status !== true) await kit.call('POST', '/v1/keys/rewrap', keysPerSecond);
  const state = options.watch === true ? await watch(kit, options) : await read(kit);
  print(options, state ?? { never: true }, state === undefined ? ['No key was ever rotated.'] : rewrapLines(state));
}

async function read(kit: Kit) {
  const { rewrap: state } = await kit.call('GET', '/v1/keys');
  return state === undefined ? undefined : rewrapAnswer.parse(state);
}

async function watch(kit: Kit, options: ProgressOptions) {
  let state = await read(kit);
  if (state === undefined) return undefined;
  using progress = startProgress(options, { label: 'rewrap', totalBytes: state.total, unit: 'keys' });
  progress.skip(state.done);
  while (state !== undefined && state.finishedAt === undefined) {
    await sleep(LOOK_MS);
    const next = await read(kit);
    if (next !== undefined) progress.add(Math.max(0, (next.finishedAt === undefined ? next.done : next.total) - state.done));
    state = next;
  }
  return state;
}
