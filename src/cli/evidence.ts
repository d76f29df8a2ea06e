/** `wv evidence`: evidence examined by hand, offline, without a vault; and what the vault keeps to examine it with. */
import type { Command } from 'commander';
import { pinnedRoots } from '../attestation/pinned-roots.ts';
import { addCommand, addGroup, collect } from './command.ts';
import { type CheckOptions, check } from './evidence-check.ts';
import { registerCollateral } from './evidence-collateral.ts';
import { type ShowOptions, show } from './evidence-show.ts';

export function registerEvidence(program: Command): void {
  const evidence = addGroup(program, 'evidence', 'Examine attestation evidence offline');
  addCommand(evidence, 'check', 'Examine every entry of a manifest, and compare with what it expects', [
    'wv evidence check --manifest vectors/MANIFEST.json',
    'wv evidence check --manifest vectors/MANIFEST.json --only snp/milan-v3 --json',
  ])
    .requiredOption('--manifest <file>', 'a JSON array of entries; their files lie below its folder')
    .option('--only <id>', 'this entry alone')
    .action((options: CheckOptions) => check(options, pinnedRoots()));
  addCommand(evidence, 'show <file>', 'Explain one piece of evidence: what it is, whether it is authentic, and what it does not prove', [
    'wv evidence show report.bin --companion endorsement_key_certificate=vcek.der --companion issuer_chain=chain.pem',
    'wv evidence show token.jwt --companion jwks=keys.json --at 2026-11-30T12:00:00Z --json',
    'wv evidence show eventlog.bin',
  ])
    .option('--companion <name=file>', 'what belongs to it, as often as wanted', collect)
    .option('--nonce <hex>', 'what it must answer')
    .option('--at <time>', 'examine as of then; default: now')
    .option('--format <name>', 'do not guess which it is')
    .action((file: string, options: ShowOptions) => show(file, options, pinnedRoots()));
  registerCollateral(evidence);
}
