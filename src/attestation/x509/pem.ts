/** PEM (RFC 7468): blocks in the strict form of section 3. Files may explain them in between, what is inside other evidence may not. */
import { toBase64 } from '../../domain/bytes.ts';
import { Malformed, orUndefined } from './der.ts';

/** The longest is a list of revoked certificates. What is not PEM is somebody else's to bound. */
const MAX_FILE_BYTES = 262_144;

const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,32})-----\r?\n((?:[A-Za-z0-9+/]+={0,2}\r?\n)+)-----END \1-----(?:\r?\n)*/y;

/** DER of each block, in order, at most `maxBlocks`, nothing between them but line ends. Every block must have the label. Throws Malformed. */
export function readPem(text: string, label: string, maxBlocks: number): readonly Uint8Array[] {
  const blocks: Uint8Array[] = [];
  const block = new RegExp(BLOCK); // its own lastIndex
  while (block.lastIndex < text.length) {
    const match = block.exec(text);
    if (match?.[1] !== label || match[2] === undefined) throw new Malformed(`not PEM of ${label}`);
    if (blocks.length === maxBlocks) throw new Malformed(`more than ${maxBlocks} PEM blocks`);
    blocks.push(canonicalBase64(match[2].replaceAll(/\r?\n/g, '')));
  }
  if (blocks.length === 0) throw new Malformed(`no PEM of ${label}`);
  return blocks;
}

/** As `readPem`, each block by itself: undefined where one is damaged, or is not alone. Throws Malformed for more than `maxBlocks`. */
export function readPemParts(text: string, label: string, maxBlocks: number): ReadonlyArray<Uint8Array | undefined> {
  const parts = text.split(/(?=-----BEGIN )/);
  if (parts.length > maxBlocks) throw new Malformed(`more than ${maxBlocks} PEM blocks`);
  return parts.map((part) => orUndefined(() => readPem(part, label, 1)[0]));
}

/** As `derOrPem`, each block by itself. */
export function derOrPemParts(bytes: Uint8Array, label: string, maxBlocks: number): ReadonlyArray<Uint8Array | undefined> {
  if (bytes[0] === 0x30) return [bytes];
  return readPemParts(blocksOf(bytes), label, maxBlocks);
}

/** A file: one DER structure as it is, or PEM of one or more, with explanatory text around them (RFC 7468, 2). */
export function derOrPem(bytes: Uint8Array, label: string, maxBlocks: number): readonly Uint8Array[] {
  if (bytes[0] === 0x30) return [bytes];
  return readPem(blocksOf(bytes), label, maxBlocks);
}

/** What looks like a part of a block is none of the text, nor is what nobody writes: a block that was damaged must not be gone without a word. */
const NO_TEXT = /--|^[A-Za-z0-9+/=]{40,}\s*$|[^\t\r\n\x20-\x7e\x80-\xff]/;

/** Without the text between them. */
function blocksOf(file: Uint8Array): string {
  if (file.length > MAX_FILE_BYTES) throw new Malformed(`longer than ${MAX_FILE_BYTES} bytes`);
  let isInside = false;
  const lines = Buffer.from(file)
    .toString('latin1')
    .split(/(?<=\n)/);
  const kept = lines.filter((line) => {
    isInside ||= line.startsWith('-----BEGIN ');
    const isKept = isInside;
    if (line.startsWith('-----END ')) isInside = false;
    if (!isKept && NO_TEXT.test(line)) throw new Malformed('damaged PEM');
    return isKept;
  });
  return kept.join('');
}

/** Unused bits zero and padding right, or the same certificate would have several spellings. */
function canonicalBase64(text: string): Uint8Array {
  const bytes = new Uint8Array(Buffer.from(text, 'base64'));
  if (toBase64(bytes) !== text) throw new Malformed('not canonical base64');
  return bytes;
}
