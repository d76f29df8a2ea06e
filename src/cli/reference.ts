/** `wv reference`, `wv anchors`: which measurements, and which roots of trust, a namespace accepts. */
import type { Command } from 'commander';
import { z } from 'zod';
import { referenceValue } from '../documents/reference-values.ts';
import { readAnchors } from './anchor-files.ts';
import { addAdminCommand, addGroup } from './command.ts';
import { readUserJson } from './files.ts';
import { type AdminOptions, withKit } from './kit.ts';
import { propose } from './propose.ts';

const valuesFile = z.strictObject({ values: z.array(referenceValue) });

export function registerReference(program: Command): void {
  const reference = addGroup(program, 'reference', 'Reference values of a namespace');
  addAdminCommand(reference, 'set <file>', 'Propose the reference values in this JSON file: {"values": [...]}', [
    'wv reference set --kit kits/alice golden.json',
    'wv reference set --kit kits/alice --namespace research --json golden.json',
  ]).action((file: string, options: AdminOptions) =>
    withKit(options.kit, async (kit) => propose(kit, 'reference-values', await readUserJson(file, valuesFile), options)),
  );
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
