/**
 * `wv sealed open|seal|inspect FILE`: the tool for one raw FLOE file, no vault involved. Exit codes: exit-codes.ts. Unless it is 0,
 * nothing new is left at --out and an old file there is untouched.
 */
import { Command } from 'commander';
import { toHex } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import type { SecretBytes } from '../domain/secret.ts';
import type { ByteChunks } from '../sealed/chunks.ts';
import { inspectObject, type SealedSummary } from '../sealed/inspect.ts';
import { openStream, sealStream } from '../sealed/stream.ts';
import { FLOE, FLOE_MAX_SEGMENT_BYTES, isRotationMask, isSegmentBytes, MIN_SEGMENT_BYTES } from '../sealed/suites.ts';
import { addCommand, addGroup } from './command.ts';
import { reportFailure } from './failure.ts';
import { type CliStreams, readKeyFile, refuseSameFile, withInput, writeOutput } from './sealed-files.ts';

interface Options {
  readonly keyFile?: string;
  readonly aad?: string;
  readonly aadHex?: string;
  readonly segment?: string;
  readonly rotationMask?: string;
  readonly out?: string;
  readonly json?: boolean;
}

/** Adds `sealed` to the program. Its commands throw; the caller reports what they throw with `reportFailure`. */
export function registerSealed(program: Command, streams: CliStreams = process): void {
  const sealed = addGroup(program, 'sealed', 'Seal, open or inspect a raw sealed object (FLOE file)');
  add(sealed, 'open', 'Write the plaintext of FILE to --out, or refuse', [
    'wv sealed open weights.floe --key-file object.key --aad model-a --out weights.safetensors',
    'wv sealed open - --key-file object.key --aad-hex 6d6f64656c2d61 --out -',
  ]).action((file: string, options: Options) => open(file, options, streams));
  add(sealed, 'seal', 'Write FILE as a sealed object to --out', [
    'wv sealed seal weights.safetensors --key-file object.key --aad model-a --out weights.floe',
    'wv sealed seal weights.safetensors --key-file object.key --segment 1048576 --out weights.floe --json',
  ]).action((file: string, options: Options) => seal(file, options, streams));
  add(sealed, 'inspect', 'Print parameters and sizes as JSON; with --key-file also verify every segment', [
    'wv sealed inspect weights.floe',
    'wv sealed inspect weights.floe --key-file object.key --aad model-a',
  ]).action((file: string, options: Options) => inspect(file, options, streams));
}

/** The whole tool without `main.ts`: `argv` begins with open, seal or inspect. Resolves with the exit status, never rejects. */
export async function runSealed(argv: readonly string[], streams: CliStreams = process): Promise<number> {
  const program = new Command('wv').exitOverride();
  program.configureOutput({ writeOut: (text) => void streams.stdout.write(text), writeErr: (text) => void streams.stderr.write(text) });
  try {
    registerSealed(program, streams);
    await program.parseAsync(['sealed', ...argv], { from: 'user' });
    return 0;
  } catch (error) {
    return reportFailure(error, false, streams.stderr);
  }
}

function add(sealed: Command, name: string, description: string, examples: readonly [string, string]): Command {
  return addCommand(sealed, name, description, examples)
    .argument('<file>', 'the file to read; - is standard input')
    .option('--key-file <file>', 'exactly 32 raw bytes')
    .option('--aad <text>', 'associated data as UTF-8 text, taken as it is')
    .option('--aad-hex <hex>', 'associated data as hexadecimal')
    .option('--segment <bytes>', 'ENC_SEG_LEN: what to seal with, or what the header must state')
    .option('--rotation-mask <bits>', `low bits of a segment's position that share a key, 0 to 63 (${FLOE.rotationMask})`)
    .option('--out <file>', 'where to write; - is standard output');
}

async function open(file: string, options: Options, streams: CliStreams): Promise<void> {
  const parameters = parse(options);
  await transform(file, options, streams, (chunks, key) => openStream(chunks, { ...parameters, key, reuseBuffer: true }));
}

async function seal(file: string, options: Options, streams: CliStreams): Promise<void> {
  const parameters = parse(options);
  if (parameters.segmentBytes !== undefined && !isSegmentBytes(parameters.segmentBytes, FLOE_MAX_SEGMENT_BYTES)) {
    throw new VaultError('usage', `--segment is ${MIN_SEGMENT_BYTES} to ${FLOE_MAX_SEGMENT_BYTES} bytes`);
  }
  await transform(file, options, streams, (chunks, key) => sealStream(chunks, { ...parameters, key }));
}

async function transform(
  file: string,
  options: Options,
  streams: CliStreams,
  through: (chunks: ByteChunks, key: SecretBytes) => ByteChunks,
): Promise<void> {
  const out = required(options.out, '--out');
  const keyFile = required(options.keyFile, '--key-file');
  if (options.json && out === '-') throw new VaultError('usage', '--json and --out - would both write to standard output');
  await refuseSameFile(out, [file, keyFile]);
  await withKey(keyFile, (key) => withInput(file, streams, (chunks) => writeOutput(out, through(chunks, key), streams)));
  if (options.json) streams.stdout.write(`${JSON.stringify({ out })}\n`);
}

async function inspect(file: string, options: Options, streams: CliStreams): Promise<void> {
  const parameters = parse(options);
  const out = options.out ?? '-';
  await refuseSameFile(out, [file, options.keyFile]);
  const look = (key?: SecretBytes): Promise<SealedSummary> =>
    withInput(file, streams, (chunks) => inspectObject(chunks, { ...parameters, key }));
  const summary = options.keyFile === undefined ? await look() : await withKey(options.keyFile, look);
  await writeOutput(out, [Buffer.from(`${JSON.stringify(describe(summary), null, 2)}\n`)], streams);
}

function describe({ header, ...sizes }: SealedSummary): object {
  return {
    format: 'FLOE',
    aead: { id: FLOE.aeadId, name: 'AES-256-GCM' },
    kdf: { id: FLOE.kdfId, name: 'HKDF-Expand-SHA-384' },
    segmentBytes: header.segmentBytes,
    ivBytes: FLOE.ivBytes,
    iv: toHex(header.iv),
    headerTag: toHex(header.tag),
    ...sizes,
  };
}

/** Any length that FLOE can state: memory is asked for as the bytes come, and before an authentic header for none. */
function parse(options: Options) {
  const segmentBytes = integer(options.segment, '--segment');
  const rotationMask = integer(options.rotationMask, '--rotation-mask');
  if (rotationMask !== undefined && !isRotationMask(rotationMask)) throw new VaultError('usage', '--rotation-mask is 0 to 63');
  return { aad: parseAad(options), segmentBytes, segmentLimitBytes: FLOE_MAX_SEGMENT_BYTES, rotationMask };
}

/** Text is not normalised here: a raw tool binds the bytes it was given. */
function parseAad({ aad, aadHex }: Options): Uint8Array {
  if (aad !== undefined && aadHex !== undefined) throw new VaultError('usage', '--aad and --aad-hex exclude each other');
  if (aadHex === undefined) return new TextEncoder().encode(aad ?? '');
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(aadHex)) throw new VaultError('usage', '--aad-hex is not hexadecimal');
  return Buffer.from(aadHex, 'hex');
}

/** Decimal digits up to 2^32 - 1, the largest number either option could mean. */
function integer(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[0-9]{1,10}$/.test(text) || Number(text) > 0xffff_ffff) throw new VaultError('usage', `${option} is not such a number`);
  return Number(text);
}

function required(value: string | undefined, option: string): string {
  if (value === undefined || value === '') throw new VaultError('usage', `${option} is required`);
  return value;
}

async function withKey<T>(file: string, use: (key: SecretBytes) => Promise<T>): Promise<T> {
  const key = await readKeyFile(file);
  try {
    return await use(key);
  } finally {
    key.dispose();
  }
}
