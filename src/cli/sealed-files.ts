/** Files and standard streams of `wv sealed`: bounded reading, and output that appears whole or not at all. */
import { randomBytes } from 'node:crypto';
import { rmSync, type Stats, writeFileSync } from 'node:fs';
import { type FileHandle, open, realpath, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { VaultError } from '../domain/errors.ts';
import { SecretBytes, secretCopy } from '../domain/secret.ts';
import type { ByteChunks } from '../sealed/chunks.ts';
import { FLOE } from '../sealed/suites.ts';

/** What a command may read from and write to besides files; `process` fits. */
export interface CliStreams {
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

const READ_BYTES = 1024 * 1024;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Lends the contents of FILE, or of standard input for `-`. What cannot be opened or read is `usage`. */
export async function withInput<T>(file: string, streams: CliStreams, use: (chunks: ByteChunks) => Promise<T>): Promise<T> {
  if (file === '-') return use(readStream(streams.stdin));
  const handle = await openForReading(file);
  try {
    return await use(readChunks(handle, file));
  } finally {
    await handle.close();
  }
}

/** Exactly 32 raw bytes, else `usage`; never reads more than 33. */
export async function readKeyFile(file: string): Promise<SecretBytes> {
  const handle = await openForReading(file);
  const bytes = new Uint8Array(FLOE.keyBytes + 1);
  try {
    let filled = 0;
    for (let read = -1; read !== 0 && filled < bytes.length; filled += read) {
      read = (await asUsage(handle.read(bytes, filled, bytes.length - filled), 'the key file cannot be read')).bytesRead;
    }
    if (filled !== FLOE.keyBytes) throw new VaultError('usage', `--key-file does not hold exactly ${FLOE.keyBytes} bytes`);
    return new SecretBytes(secretCopy(bytes.subarray(0, FLOE.keyBytes)));
  } finally {
    bytes.fill(0);
    await handle.close();
  }
}

/** Replacing what is being read, or the key, by the result would destroy it: `usage`. Sees through links. */
export async function refuseSameFile(out: string, inputs: ReadonlyArray<string | undefined>): Promise<void> {
  const target = out === '-' ? undefined : await statOf(out);
  if (target?.isFile() !== true) return;
  for (const input of inputs) {
    const source = input === undefined || input === '-' ? undefined : await statOf(input);
    if (source?.ino === target.ino && source.dev === target.dev) throw new VaultError('usage', '--out would overwrite an input');
  }
}

/**
 * Writes every chunk to `out`. A regular file appears (mode 0600) or is replaced only once all of it is durable; after any error
 * or SIGINT, SIGTERM, SIGHUP nothing of it remains. `-`, a device or a pipe gets chunks as they come.
 */
export async function writeOutput(out: string, chunks: ByteChunks, streams: CliStreams): Promise<void> {
  if (out === '-') return writeStream(streams.stdout, chunks);
  const existing = await statOf(out);
  if (existing?.isDirectory() === true) throw new VaultError('usage', '--out is a folder');
  if (existing !== undefined && !existing.isFile()) return writeDevice(out, chunks);
  return writeWhole(existing === undefined ? out : await realpath(out), chunks);
}

async function writeWhole(target: string, chunks: ByteChunks): Promise<void> {
  const temporary = join(dirname(target), `.wv-sealed-${randomBytes(8).toString('hex')}.tmp`);
  const stopWatching = onSignal(() => rmSync(temporary, { force: true }));
  try {
    const handle = await asUsage(openNew(temporary), '--out cannot be written');
    try {
      await writeAll(handle, chunks);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, target);
  } catch (error) {
    await unlink(temporary).catch(() => undefined); // the first error is the one to report
    throw error;
  } finally {
    stopWatching();
  }
  await syncFolder(dirname(target));
}

/** Made at once: a signal that is heard while the file is opened finds it, and nothing makes it after. */
async function openNew(file: string): Promise<FileHandle> {
  writeFileSync(file, '', { flag: 'wx', mode: 0o600 });
  return open(file, 'r+');
}

async function writeDevice(out: string, chunks: ByteChunks): Promise<void> {
  const handle = await asUsage(open(out, 'w'), '--out cannot be written');
  try {
    await writeAll(handle, chunks);
  } finally {
    await handle.close();
  }
}

async function writeAll(handle: FileHandle, chunks: ByteChunks): Promise<void> {
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at, chunk.length - at)).bytesWritten;
  }
}

/** Waits until each chunk has left before pulling the next, which may reuse its memory. */
async function writeStream(stream: NodeJS.WritableStream, chunks: ByteChunks): Promise<void> {
  const ignore = (): void => undefined; // the write callback reports the same error
  stream.on('error', ignore);
  try {
    for await (const chunk of chunks) {
      await new Promise<void>((resolve, reject) => {
        stream.write(chunk, (error) => (error ? reject(error) : resolve()));
      });
    }
  } finally {
    setImmediate(() => stream.off('error', ignore)); // 'error' is emitted just after the callback
  }
}

/** Durable rename. A file system that cannot sync folders has nothing more to promise. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

/** Cleans up, then lets the signal end the process as it would have. */
function onSignal(cleanUp: () => void): () => void {
  const stop = (signal: NodeJS.Signals): void => {
    stopWatching();
    try {
      cleanUp();
    } finally {
      process.kill(process.pid, signal);
    }
  };
  const stopWatching = (): void => {
    for (const signal of SIGNALS) process.off(signal, stop);
  };
  for (const signal of SIGNALS) process.on(signal, stop);
  return stopWatching;
}

async function openForReading(file: string): Promise<FileHandle> {
  const handle = await asUsage(open(file, 'r'), `cannot read ${file}`);
  if (!(await handle.stat()).isDirectory()) return handle;
  await handle.close();
  throw new VaultError('usage', `${file} is a folder`);
}

/** Every chunk is the same buffer, valid until the next pull. */
async function* readChunks(handle: FileHandle, file: string): AsyncGenerator<Uint8Array, void, void> {
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  try {
    for (;;) {
      const { bytesRead } = await asUsage(handle.read(buffer, 0, READ_BYTES), `cannot read ${file}`);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    buffer.fill(0);
  }
}

async function* readStream(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* stream;
  } catch (error) {
    throw new VaultError('usage', `cannot read standard input: ${systemCode(error)}`, { cause: error });
  }
}

/** Undefined when nothing is there; another failure to look is `usage`. */
async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw new VaultError('usage', `${path}: ${systemCode(error)}`, { cause: error });
  }
}

async function asUsage<T>(work: Promise<T>, what: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new VaultError('usage', `${what}: ${systemCode(error)}`, { cause: error });
  }
}

function systemCode(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'unknown error';
}
