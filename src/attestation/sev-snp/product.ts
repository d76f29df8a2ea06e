/** Product lines: who they are, and how each lays out its eight bytes of TCB_VERSION (56860, section 2.2; 57230, section 1.1). */
import type { ClaimValue } from '../examination.ts';
import type { Cpuid } from './report.ts';

export type Product = 'Milan' | 'Genoa' | 'Turin';
export const PRODUCTS: readonly Product[] = ['Milan', 'Genoa', 'Turin'];

/** Bergamo and Siena (family 0x19, models 0xA0 to 0xAF) stand under Genoa's root. */
export function productOfCpuid({ family, model }: Cpuid): Product | undefined {
  if (family === 0x19 && model <= 0x0f) return 'Milan';
  if (family === 0x19 && ((model >= 0x10 && model <= 0x1f) || (model >= 0xa0 && model <= 0xaf))) return 'Genoa';
  if (family === 0x1a && model <= 0x1f) return 'Turin';
  return undefined;
}

/** `Milan-B0` of a VCEK, `Milan` of a VLEK: the line is what stands before the stepping. */
export function productOfName(name: string): Product | undefined {
  return PRODUCTS.find((product) => product === name.split('-')[0]);
}

/** What byte 0 to 7 is called; reserved ones have the number of their certificate extension. */
export type TcbPart = 'fmc' | 'bl' | 'tee' | 'snp' | 'microcode' | 'spl4' | 'spl5' | 'spl6' | 'spl7';
type Layout = readonly [TcbPart, TcbPart, TcbPart, TcbPart, TcbPart, TcbPart, TcbPart, TcbPart];
const ZEN3_AND_4: Layout = ['bl', 'tee', 'spl4', 'spl5', 'spl6', 'spl7', 'snp', 'microcode'];
const ZEN5: Layout = ['fmc', 'bl', 'tee', 'snp', 'spl5', 'spl6', 'spl7', 'microcode'];

export type Tcb = Readonly<Partial<Record<TcbPart, number>>>;

export function readTcb(bytes: Uint8Array, product: Product | undefined): Tcb {
  const layout = product === 'Turin' ? ZEN5 : ZEN3_AND_4;
  return Object.fromEntries(layout.map((part, at) => [part, bytes[at] ?? 0]));
}

/** The reverse; parts that are not there are zero. */
export function tcbBytes(tcb: Tcb, product: Product): Uint8Array {
  return Uint8Array.from(product === 'Turin' ? ZEN5 : ZEN3_AND_4, (part) => tcb[part] ?? 0);
}

/** The parts that have a meaning, in the words of claims. */
export function tcbClaims(tcb: Tcb): Readonly<Record<string, ClaimValue>> {
  return Object.fromEntries(Object.entries(tcb).filter(([part]) => !part.startsWith('spl')));
}

/**
 * Every byte, the reserved ones too: those the certificate may leave out, as zero; the others it must have. A part that only one of two
 * products has makes them differ, so TCBs of two products never compare.
 */
export function sameTcb(reported: Tcb, certified: Tcb): boolean {
  const parts = new Set([...Object.keys(reported), ...Object.keys(certified)]) as Set<TcbPart>; // the keys of a Tcb
  const value = (tcb: Tcb, part: TcbPart) => tcb[part] ?? (part.startsWith('spl') ? 0 : undefined);
  return [...parts].every((part) => value(reported, part) === value(certified, part));
}
