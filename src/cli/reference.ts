/** `wv reference`, `wv anchors`: which measurements, and which roots of trust, a namespace accepts. */
import type { Command } from 'commander';
import { z } from 'zod';
import { referenceValue } from '../documents/reference-values.ts';
import { readAnchors } from './anchor-files.ts';
import { addAdminCommand, addGroup, collect } from './command.ts';
import { readUserJson } from './files.ts';
import { type AdminOptions, withKit } from './kit.ts';
import { propose } from './propose.ts';
import { importReferences } from './reference-import.ts';

const valuesFile = z.strictObject({ values: z.array(referenceValue) });

export function registerReference(program: Command): void {
  const reference = addGroup(program, 'reference', 'Reference values of a namespace');
  addAdminCommand(reference, 'set <file>', 'Propose the reference values in this JSON file: {"values": [...]}', [
    'wv reference set --kit kits/alice golden.json',
    'wv reference set --kit kits/alice --namespace research --json golden.json',
  ]).action((file: string, options: AdminOptions) =>
    withKit(options.kit, async (kit) => propose(kit, 'reference-values', await readUserJson(file, valuesFile), options)),
  );
  addAdminCommand(
    reference,
    'import <file...>',
    "Propose what others signed, beside the values in force: NVIDIA's RIMs, or values as a JWS",
    [
      'wv reference import --kit kits/alice --id h100-570 NV_GPU_DRIVER_GH100_570.124.03.xml NV_GPU_VBIOS_1010_0200_882_96005E0001.xml',
      'wv reference import --kit kits/alice --signer builder.pem --expires 2027-01-01T00:00:00Z --json image-12.jws',
    ],
  )
    .option('--id <name>', 'of the one value that RIMs become')
    .option('--signer <file>', 'PEM of the public key or certificate that must have signed a JWS')
    .option('--model <id>', 'id of a model they count for, as often as wanted; all of the namespace if not said', collect)
    .option('--expires <time>', 'after which they no longer count')
    .action(importReferences);
}

export function registerAnchors(program: Command): void {
  const anchors = addGroup(program, 'anchors', 'Trust anchors of a namespace');
  addAdminCommand(anchors, 'set <file...>', 'Propose these as the only ones: roots of TPM endorsements (PEM), issuers of tokens (JSON)', [
    'wv anchors set --kit kits/alice infineon-root.pem',
    'wv anchors set --kit kits/alice --namespace research infineon-root.pem verifier.json',
  ]).action((files: string[], options: AdminOptions) =>
    withKit(options.kit, async (kit) => propose(kit, 'trust-anchors', { anchors: await readAnchors(files) }, options)),
  );
}
