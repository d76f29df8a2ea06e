/**
 * Shows the newest checkpoint to the configured witnesses and keeps the one that enough of them have cosigned. It runs beside the sequencer and
 * nothing waits for it but a release whose class demands it: a witness that hangs, is wrong or is somebody else's costs one task, never a round.
 */
import { DEFAULTS } from '../domain/classes.ts';
import type { TreeSize } from '../domain/ids.ts';
import type { UnitOfWork } from '../domain/unit-of-work.ts';
import { formatAddCheckpoint, parseSize } from './add-checkpoint.ts';
import { type Cosignature, cosignaturesOf, type WitnessKey, withLines } from './cosignature.ts';
import { proveConsistency } from './merkle.ts';
import type { LogStore, PublishedHead } from './port.ts';
import { subtreeReader } from './tiles.ts';

export interface Witness {
  readonly key: WitnessKey;
  /** Submission prefix. */
  readonly url: string;
}

export interface WitnessAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: Uint8Array;
}

/** POST <url>/add-checkpoint. Rejects when no whole, bounded answer came in time. */
export type PostToWitness = (url: string, body: Uint8Array) => Promise<WitnessAnswer>;

/**
 * How it stands with one witness. `refusing`: it does not take our checkpoints (unknown origin, key). `conflict`: it has seen a log of this name
 * that ours does not continue, or says so: our log was put back, or it is not the only one.
 */
export type WitnessState = 'cosigned' | 'failing' | 'refusing' | 'conflict';

export interface WitnessEvent {
  readonly kind: 'witness';
  readonly severity: 'info' | 'warning' | 'critical';
  readonly witness: string;
  readonly state: WitnessState;
  readonly detail: string;
}

export interface WitnessesOptions {
  readonly unitOfWork: UnitOfWork;
  readonly log: LogStore;
  readonly witnesses: readonly Witness[];
  readonly quorum: number;
  readonly post: PostToWitness;
  /** Milliseconds, from a clock that does not go back. */
  readonly monotonicMs: () => number;
  /** Only when the state of a witness changes. */
  readonly onEvent?: ((event: WitnessEvent) => void) | undefined;
  /** A quorum was missing for so long that somebody should look, or is there again. */
  readonly onLag?: ((lagging: boolean) => void) | undefined;
}

export interface Witnesses {
  /** A checkpoint of this size was published by this process; it is shown to the witnesses in the next round. */
  published(size: TreeSize): void;
  /** One round each `logWitnessMs`. */
  start(): void;
  stop(): Promise<void>;
  /** One round: resolves when every witness that was free has answered or was given up. Never rejects. */
  round(): Promise<void>;
  /** How long the oldest checkpoint waits that no quorum has seen. Milliseconds; 0 when the newest one is witnessed. */
  lagMs(): number;
}

interface Watched extends Witness {
  /** The size that it cosigned last, as far as we know. */
  size: number;
  busy: boolean;
  state: WitnessState | undefined;
}

interface Shown {
  readonly head: PublishedHead;
  readonly lines: Map<WitnessKey, string>;
}

/** Checkpoints that slow witnesses may still answer for. */
const KEPT = 64;

export function createWitnesses(options: WitnessesOptions): Witnesses {
  const { unitOfWork, log, monotonicMs, quorum, onEvent = () => undefined, onLag = () => undefined } = options;
  const watched: Watched[] = options.witnesses.map((witness) => ({ ...witness, size: 0, busy: false, state: undefined }));
  const shown = new Map<number, Shown>();
  let newest: number | undefined;
  let behindSinceMs: number | undefined;
  let saidLagging = false;
  let witnessedSize = 0;
  let timer: NodeJS.Timeout | undefined;
  let last: Promise<void> = Promise.resolve();

  const lagMs = () => (behindSinceMs === undefined ? 0 : monotonicMs() - behindSinceMs);

  async function round(): Promise<void> {
    const head = await unitOfWork.run((tx) => log.head(tx)).catch(() => undefined); // the store's failures are the sequencer's to tell
    if (head !== undefined && head.size === newest) {
      if (!shown.has(head.size)) shown.set(head.size, { head, lines: new Map() });
      await Promise.all(watched.filter((one) => !one.busy && one.size !== head.size).map((one) => show(one, head)));
    }
    for (const size of [...shown.keys()].slice(0, -KEPT)) shown.delete(size);
    const lagging = lagMs() > DEFAULTS.witnessLagMs;
    if (lagging !== saidLagging) onLag(lagging);
    saidLagging = lagging;
  }

  async function show(one: Watched, head: PublishedHead): Promise<void> {
    one.busy = true;
    try {
      const said = await submit(one, head, options);
      if ('cosignature' in said) {
        one.size = head.size;
        await keep(head, said.cosignature);
      }
      tell(one, said.state, said.detail);
    } catch (error) {
      tell(one, 'failing', error instanceof Error ? error.message : 'no answer');
    } finally {
      one.busy = false;
    }
  }

  async function keep(head: PublishedHead, { witness, line }: Cosignature): Promise<void> {
    const lines = (shown.get(head.size)?.lines ?? new Map<WitnessKey, string>()).set(witness, line);
    if (lines.size < quorum || head.size < witnessedSize) return;
    const checkpoint = withLines(head.checkpoint, [...lines.values()]);
    await unitOfWork.run((tx) => log.publishWitnessed(tx, { size: head.size, checkpoint }));
    witnessedSize = head.size;
    for (const size of shown.keys()) if (size < head.size) shown.delete(size);
    behindSinceMs = newest === head.size ? undefined : monotonicMs();
  }

  function tell(one: Watched, state: WitnessState, detail: string): void {
    if (state === one.state) return;
    one.state = state;
    const severity = state === 'cosigned' ? 'info' : state === 'conflict' ? 'critical' : 'warning';
    onEvent({ kind: 'witness', severity, witness: one.key.name, state, detail });
  }

  function loop(): void {
    last = round().then(() => undefined);
    timer = setTimeout(loop, DEFAULTS.logWitnessMs); // not after the round: a witness that hangs holds up nobody else
  }

  return {
    published(size) {
      newest = size;
      behindSinceMs ??= monotonicMs();
    },
    start: loop,
    async stop() {
      clearTimeout(timer);
      await last;
    },
    round,
    lagMs,
  };
}

type Said =
  | { readonly state: 'cosigned'; readonly detail: string; readonly cosignature: Cosignature }
  | { readonly state: Exclude<WitnessState, 'cosigned'>; readonly detail: string };

/** Once with the size that we know, and again with the one that the witness names. */
async function submit(one: Watched, head: PublishedHead, options: WitnessesOptions): Promise<Said> {
  const first = await options.post(one.url, await requestFor(one.size, head, options));
  if (first.status !== 409) return judge(first, one, head);
  const size = sizeIn(first);
  if (size === undefined) return { state: 'failing', detail: '409 without a size' };
  if (size > head.size) return ahead(size, options);
  one.size = size;
  const second = await options.post(one.url, await requestFor(size, head, options));
  // tlog-witness: of the very size that it cosigned, 409 says that the roots differ.
  if (second.status === 409 && size === head.size) return { state: 'conflict', detail: `it has cosigned another root of ${size} records` };
  return judge(second, one, head);
}

/** It cosigned more than we showed it. Unless another process of this vault has published as much meanwhile, it was no log of ours. */
async function ahead(size: number, { unitOfWork, log }: WitnessesOptions): Promise<Said> {
  const stored = (await unitOfWork.run((tx) => log.head(tx)))?.size ?? 0;
  if (stored >= size) return { state: 'failing', detail: 'another process has shown it more' };
  return { state: 'conflict', detail: `it has cosigned ${size} records, and this log has ${stored}` };
}

function judge({ status, body }: WitnessAnswer, one: Watched, head: PublishedHead): Said {
  if (status === 200) {
    const [cosignature] = cosignaturesOf(withAnswer(head.checkpoint, body), [one.key]);
    if (cosignature === undefined) return { state: 'failing', detail: 'it answered without its cosignature' };
    return { state: 'cosigned', detail: `${head.size} records`, cosignature };
  }
  if (status === 422) return { state: 'conflict', detail: 'it says that this log does not continue the one it knows' };
  if (status === 403 || status === 404) return { state: 'refusing', detail: `HTTP ${status}` };
  return { state: 'failing', detail: `HTTP ${status}` };
}

/** Whatever the answer is, the note reader judges it: it throws for what is no signature line. */
function withAnswer(checkpoint: Uint8Array, answer: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat([checkpoint, answer]));
}

function sizeIn({ type, body }: WitnessAnswer): number | undefined {
  const text = Buffer.from(body).toString('latin1');
  return type.split(';')[0]?.trim() === 'text/x.tlog.size' && text.endsWith('\n') ? parseSize(text.slice(0, -1)) : undefined;
}

async function requestFor(oldSize: number, { size, checkpoint }: PublishedHead, options: WitnessesOptions): Promise<Uint8Array> {
  const { unitOfWork, log } = options;
  const read = (path: string) => unitOfWork.run((tx) => log.tile(tx, path));
  const proof = oldSize === 0 || oldSize === size ? [] : await proveConsistency(oldSize, size, subtreeReader(size, read));
  return formatAddCheckpoint({ oldSize, proof, checkpoint });
}
