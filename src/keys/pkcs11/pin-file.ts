/** The PIN comes from a file only its owner can read: arguments and environments are shown to other processes. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { VaultError } from '../../domain/errors.ts';

const PIN_BYTES = { min: 1, max: 255 };

/**
 * Lends the PIN to `use`. One trailing newline is not part of it. The file buffer is wiped afterwards; the string handed to
 * `use` cannot be (C_Login of pkcs11js takes a string), so it must not be kept.
 */
export function withPin<T>(path: string, use: (pin: string) => T): T {
  const buffer = Buffer.alloc(PIN_BYTES.max + 2);
  try {
    const length = readPinFile(path, buffer);
    const pin = buffer.toString('utf8', 0, length).replace(/\r?\n$/, '');
    if (Buffer.byteLength(pin) < PIN_BYTES.min || Buffer.byteLength(pin) > PIN_BYTES.max)
      throw invalid('the PIN file holds no PIN of 1 to 255 bytes');
    return use(pin);
  } finally {
    buffer.fill(0);
  }
}

/** Throws `configuration_invalid` when the file is missing, not a regular file, somebody else's, or readable by group or others. */
export function checkPinFile(path: string): void {
  closeSync(openPinFile(path));
}

function readPinFile(path: string, buffer: Buffer): number {
  const fd = openPinFile(path);
  try {
    return readSync(fd, buffer, 0, buffer.length, 0);
  } finally {
    closeSync(fd);
  }
}

/** The mode is read from the open file, so the file checked is the file read. */
function openPinFile(path: string): number {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOCTTY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new VaultError('configuration_invalid', 'the PIN file cannot be opened', { cause });
  }
  const stat = fstatSync(fd);
  const me = process.geteuid?.();
  const wrong = !stat.isFile()
    ? 'the PIN file is not a regular file'
    : (stat.mode & 0o077) !== 0
      ? 'the PIN file is accessible to group or others: chmod 600'
      : stat.uid !== me && stat.uid !== 0
        ? 'the PIN file belongs to another user'
        : undefined;
  if (wrong === undefined) return fd;
  closeSync(fd);
  throw invalid(wrong);
}

const invalid = (why: string) => new VaultError('configuration_invalid', why);
