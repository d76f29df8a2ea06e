/** PEM (RFC 7468, the strict form of section 3), and nothing between the blocks but line ends. */
import { toBase64 } from '../../domain/bytes.ts';
import { Malformed } from './der.ts';

const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,32})-----\r?\n((?:[A-Za-z0-9+/]+={0,2}\r?\n)+)-----END \1-----(?:\r?\n)*/y;

/** DER of each block, in order, at most `maxBlocks`. Every block must have the label. Throws Malformed. */
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

/** One DER structure as it is, or PEM of one or more. */
export function derOrPem(bytes: Uint8Array, label: string, maxBlocks: number): readonly Uint8Array[] {
  if (bytes[0] === 0x30) return [bytes];
  return readPem(Buffer.from(bytes).toString('latin1'), label, maxBlocks);
}

/** Unused bits zero and padding right, or the same certificate would have several spellings. */
function canonicalBase64(text: string): Uint8Array {
  const bytes = new Uint8Array(Buffer.from(text, 'base64'));
  if (toBase64(bytes) !== text) throw new Malformed('not canonical base64');
  return bytes;
}
