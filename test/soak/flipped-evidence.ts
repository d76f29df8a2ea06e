/** `npm run soak -- --only evidence [--minutes N]`: every bit of every real piece of signed evidence, one after the other (docs/soak.md). */
import type { ExaminationInputs, Examine } from '../../src/attestation/examination.ts';
import type { IssuerMemo } from '../../src/attestation/x509/path.ts';
import { EVIDENCE_FORMATS } from '../../src/cli/evidence-formats.ts';
import { type PreparedEntry, preparedEntries } from '../attestation/real-evidence.ts';
import { TwinsMemo } from '../attestation/twins-memo.ts';

/** What is signed as a whole. Event logs are not, and lists of revoked certificates are looked at by their own tests. */
const SIGNED = ['snp-report', 'tdx-quote', 'nitro-cose-sign1', 'nvidia-spdm', 'nvidia-rim-xml', 'tpm2-quote', 'jwt-eat'];

/** Bits are taken in an order of the seed, so that any length of time looks everywhere. Resolves with what was accepted and should not be. */
export async function flipEvidence(minutes: number, random: () => number): Promise<readonly string[]> {
  const entries = await Promise.all((await preparedEntries(SIGNED)).map(flippable));
  const bits = entries.flatMap((entry) => Array.from({ length: entry.bits }, (_, bit) => ({ entry, bit })));
  shuffle(bits, random);
  console.log(`${entries.length} pieces of evidence, ${bits.length} bits`);
  const violated: string[] = [];
  const deadline = Date.now() + minutes * 60_000;
  let flipped = 0;
  for (const { entry, bit } of bits) {
    if (Date.now() > deadline) break;
    const { valid, accept } = await entry.examine(bit);
    if (valid || accept) violated.push(`${entry.id}: bit ${bit % 8} of byte ${Math.floor(bit / 8)} is accepted`);
    if (++flipped % 20_000 === 0) console.log(`  ${flipped} of ${bits.length}, ${violated.length} accepted`);
  }
  console.log(`${flipped} of ${bits.length} bits flipped`);
  return violated;
}

async function flippable({ id, format, inputs }: PreparedEntry) {
  const examine = await EVIDENCE_FORMATS[format]?.load();
  if (examine === undefined) throw new Error(`${format} is no format of this version`);
  const examineWith: (inputs: ExaminationInputs, memo: IssuerMemo) => ReturnType<Examine> = examine; // those that read certificates take it
  const memo = new TwinsMemo();
  return {
    id,
    bits: inputs.evidence.length * 8,
    examine(bit: number) {
      const evidence = inputs.evidence.slice();
      const at = Math.floor(bit / 8);
      evidence[at] = (evidence[at] ?? 0) ^ (1 << (bit % 8));
      return examineWith({ ...inputs, evidence }, memo);
    },
  };
}

/** Fisher and Yates. */
function shuffle(items: unknown[], random: () => number): void {
  for (let at = items.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    [items[at], items[other]] = [items[other], items[at]];
  }
}
