/**
 * Runs by itself, in a process of its own (evidence-bounds.test.ts): one line of JSON for each hostile input. Start with --expose-gc and with a
 * young generation so large that nothing is collected while one input is judged: what is allocated in all is then more than what is ever held.
 */
import 'reflect-metadata';
import type { Examine } from '../../src/attestation/examination.ts';
import { EVIDENCE_FORMATS } from '../../src/cli/evidence-formats.ts';
import { type HostileInput, hostileInputs } from './hostile-inputs.ts';

export interface Measured {
  readonly format: string;
  readonly name: string;
  /** Processor time of the process, milliseconds: the quickest of several. A busy machine makes some slower and none quicker. */
  readonly cpuMs: number;
  /** Allocated, whether still needed or not, MiB: the least of several. */
  readonly allocatedMiB: number;
  readonly valid: boolean;
}

/** Another is only made while one of the figures is above a third of what is allowed. */
const MAX_ROUNDS = 6;
const ENOUGH = { cpuMs: 15, allocatedMiB: 5 };

const ROOM_BYTES = 24 * 1_048_576;
let leastBytes = Number.NEGATIVE_INFINITY;

console.log(JSON.stringify({ referenceMs: referenceMs() }));
for (const input of await hostileInputs()) {
  const examine = await EVIDENCE_FORMATS[input.format]?.load();
  if (examine === undefined) throw new Error(`no format ${input.format}`);
  console.log(JSON.stringify(await measure(input, examine)));
}

/** Work of a known size, the quickest of several: how slow this machine is, and how busy just now. */
function referenceMs(): number {
  const text = JSON.stringify(Array.from({ length: 20_000 }, (_, at) => ({ at, name: `entry ${at}`, list: [at, at + 1] })));
  return Math.min(
    ...Array.from({ length: 12 }, () => {
      const cpu = process.cpuUsage();
      JSON.stringify(JSON.parse(text));
      const { user, system } = process.cpuUsage(cpu);
      return (user + system) / 1000;
    }),
  );
}

async function measure({ format, name, inputs }: HostileInput, examine: Examine): Promise<Measured> {
  let best = { cpuMs: Number.POSITIVE_INFINITY, allocatedMiB: Number.POSITIVE_INFINITY };
  let valid = false;
  for (let round = 0; round < MAX_ROUNDS && (best.cpuMs > ENOUGH.cpuMs || best.allocatedMiB > ENOUGH.allocatedMiB); round++) {
    makeRoom();
    const [bytes, cpu] = [allocatedBytes(), process.cpuUsage()];
    valid = (await examine(inputs)).valid;
    const { user, system } = process.cpuUsage(cpu);
    best = {
      cpuMs: Math.min(best.cpuMs, (user + system) / 1000),
      allocatedMiB: Math.min(best.allocatedMiB, (allocatedBytes() - bytes) / 1_048_576),
    };
  }
  return { format, name, valid, ...best };
}

/** A collection takes longer than most inputs: only when the young generation could fill up. */
function makeRoom(): void {
  if (allocatedBytes() < leastBytes + ROOM_BYTES) return;
  globalThis.gc?.();
  leastBytes = allocatedBytes();
}

function allocatedBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external; // of which array buffers are a part
}
