/** `wv evidence`: evidence examined by hand, offline. Needs no vault. */
import type { Command } from 'commander';
import { pinnedRoots } from '../attestation/pinned-roots.ts';
import { addCommand, addGroup } from './command.ts';
import { type CheckOptions, check } from './evidence-check.ts';

export function registerEvidence(program: Command): void {
  const evidence = addGroup(program, 'evidence', 'Examine attestation evidence offline');
  addCommand(evidence, 'check', 'Examine every entry of a manifest, and compare with what it expects', [
    'wv evidence check --manifest vectors/MANIFEST.json',
    'wv evidence check --manifest vectors/MANIFEST.json --only snp/milan-v3 --json',
  ])
    .requiredOption('--manifest <file>', 'a JSON array of entries; their files lie below its folder')
    .option('--only <id>', 'this entry alone')
    .action((options: CheckOptions) => check(options, pinnedRoots()));
}
