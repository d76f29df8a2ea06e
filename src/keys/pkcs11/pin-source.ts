/**
 * The PIN comes from a file only its owner can read, from a descriptor of such a file, or from one variable of the environment; never from an
 * argument, which every process of the machine can read.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { VaultError } from '../../domain/errors.ts';

const PIN_BYTES = { min: 1, max: 255 };

export type PinSource =
  | { readonly file: string }
  /** A descriptor that is open in the keeper; it is read again at each login, so a pipe will not do. */
  | { readonly descriptor: number }
  /** Whoever may read /proc/PID/environ of the keeper (its own user, root) sees it. */
  | { readonly variable: string }
  /** For a token that wants no login (NSS without a password). */
  | 'none';

/**
 * Lends the PIN to `use`. One trailing newline is not part of it. The buffer is wiped afterwards; the string handed to
 * `use` cannot be (C_Login of pkcs11js takes a string), so it must not be kept. `fileState`: another one whenever the file was written.
 */
export function withPin<T>(source: Exclude<PinSource, 'none'>, use: (pin: string, fileState?: string) => T): T {
  if ('variable' in source) return use(checked(process.env[source.variable] ?? '', 'the variable of the PIN'));
  const buffer = Buffer.alloc(PIN_BYTES.max + 2);
  try {
    const [length, state] = withDescriptor(source, (fd) => [readSync(fd, buffer, 0, buffer.length, 0), stateOf(fd)] as const);
    const pin = buffer.toString('utf8', 0, length).replace(/\r?\n$/, '');
    return use(checked(pin, 'the PIN file'), state);
  } finally {
    buffer.fill(0);
  }
}

/** Throws `configuration_invalid` when the source is missing, not a regular file, somebody else's, or readable by group or others. */
export function checkPinSource(source: PinSource): void {
  if (source === 'none') return;
  if ('variable' in source) checked(process.env[source.variable] ?? '', 'the variable of the PIN');
  else withDescriptor(source, () => undefined);
}

function checked(pin: string, where: string): string {
  const length = Buffer.byteLength(pin);
  if (length < PIN_BYTES.min || length > PIN_BYTES.max) throw invalid(`${where} holds no PIN of 1 to 255 bytes`);
  return pin;
}

/** The mode is read from the open file, so the file checked is the file read. */
function withDescriptor<T>(source: Extract<PinSource, { file: string } | { descriptor: number }>, use: (fd: number) => T): T {
  const ours = 'file' in source;
  const fd = ours ? opened(source.file) : source.descriptor;
  try {
    judge(fd, ours ? 'the PIN file' : 'the PIN descriptor');
    return use(fd);
  } finally {
    if (ours) closeSync(fd);
  }
}

function stateOf(fd: number): string {
  const { dev, ino, mtimeNs, ctimeNs } = fstatSync(fd, { bigint: true });
  return [dev, ino, mtimeNs, ctimeNs].join(' ');
}

function opened(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOCTTY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new VaultError('configuration_invalid', 'the PIN file cannot be opened', { cause });
  }
}

function judge(fd: number, what: string): void {
  const stat = statOf(fd, what);
  const me = process.geteuid?.();
  if (!stat.isFile()) throw invalid(`${what} is not a regular file, which can be read again after a loss`);
  const nameless = stat.nlink === 0; // a memfd, or a file already unlinked: nobody else can open it, whatever its mode
  if (!nameless && (stat.mode & 0o077) !== 0) throw invalid(`${what} is accessible to group or others: chmod 600`);
  if (stat.uid !== me && stat.uid !== 0) throw invalid(`${what} belongs to another user`);
}

function statOf(fd: number, what: string) {
  try {
    return fstatSync(fd);
  } catch (cause) {
    throw new VaultError('configuration_invalid', `${what} is not open`, { cause });
  }
}

const invalid = (why: string) => new VaultError('configuration_invalid', why);
