/**
 * A process of its own, for nvidia-flips.test.ts: flips one bit of every byte of one real RIM and prints `{flips, accepted}`. Reading and
 * canonicalizing that much XML takes half the time outside of the test runner.
 */
import { examineNvidiaRim } from '../../src/attestation/nvidia-gpu/examine-rim.ts';
import { flipEachByte } from './damage.ts';
import { preparedEntries } from './real-evidence.ts';
import { TwinsMemo } from './twins-memo.ts';

const [id, seed] = process.argv.slice(2);
const entry = (await preparedEntries(['nvidia-rim-xml'])).find((one) => one.id === id);
if (entry === undefined) throw new Error(`no valid RIM ${id}`);
const { evidence } = entry.inputs;
const memo = new TwinsMemo();
const accepted: number[] = [];
let flips = 0;
await flipEachByte(evidence, Number(seed), (damaged, at) => {
  const { valid, accept, reasons } = examineNvidiaRim({ ...entry.inputs, evidence: damaged }, memo);
  if (valid || accept || reasons.length === 0) accepted.push(at);
  flips++;
});
process.stdout.write(`${JSON.stringify({ flips, accepted })}\n`);
