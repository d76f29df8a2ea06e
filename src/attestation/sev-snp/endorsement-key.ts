/** VCEK and VLEK certificates: which chip, or which cloud, at which TCB (AMD 57230, tables "VCEK/VLEK Certificate x509v3 Extensions"). */
import type { Certificate } from '../x509/certificate.ts';
import { expectTag, Malformed, parseDer, smallInteger, TAG } from '../x509/der.ts';
import { partOf } from '../x509/names.ts';
import type { Tcb, TcbPart } from './product.ts';

const AMD = '1.3.6.1.4.1.3704.1';
const PRODUCT_NAME = `${AMD}.2`;
const HW_ID = `${AMD}.4`;
const CSP_ID = `${AMD}.5`;
const TCB_PARTS: Readonly<Record<TcbPart, string>> = {
  bl: `${AMD}.3.1`,
  tee: `${AMD}.3.2`,
  snp: `${AMD}.3.3`,
  spl4: `${AMD}.3.4`,
  spl5: `${AMD}.3.5`,
  spl6: `${AMD}.3.6`,
  spl7: `${AMD}.3.7`,
  microcode: `${AMD}.3.8`,
  fmc: `${AMD}.3.9`,
};
/** Of every product. */
const TCB_OF_ALL = ['bl', 'tee', 'snp', 'microcode'] as const satisfies readonly TcbPart[];

export interface EndorsementKey {
  readonly certificate: Certificate;
  readonly kind: 'VCEK' | 'VLEK';
  readonly productName: string;
  readonly tcb: Tcb;
  /** Raw bytes, not a nested OCTET STRING: 64, or 8 of Turin. Not of a VLEK, which is of no chip. */
  readonly hwId: Uint8Array | undefined;
  readonly cspId: string | undefined;
  /** It has what 57230 says every certificate of its kind has. */
  readonly isWhole: boolean;
}

/** Throws Malformed for a certificate that is neither. */
export function readEndorsementKey(certificate: Certificate): EndorsementKey {
  const kind = partOf(certificate.subject, 'CN')?.replace(/^SEV-/, '');
  if (kind !== 'VCEK' && kind !== 'VLEK') throw new Malformed('neither a VCEK nor a VLEK certificate');
  const value = (oid: string) => certificate.extensions.get(oid)?.value;
  const [tcb, hwId, cspId] = [readTcbExtensions(value), value(HW_ID), value(CSP_ID)];
  return {
    certificate,
    kind,
    productName: ia5(value(PRODUCT_NAME)),
    tcb,
    hwId,
    cspId: cspId === undefined ? undefined : ia5(cspId),
    isWhole: TCB_OF_ALL.every((part) => part in tcb) && (kind === 'VCEK' ? hwId : cspId) !== undefined,
  };
}

function readTcbExtensions(value: (oid: string) => Uint8Array | undefined): Tcb {
  const parts = Object.entries(TCB_PARTS).flatMap(([part, oid]) => {
    const found = value(oid);
    return found === undefined ? [] : [[part, splOf(found)] as const];
  });
  return Object.fromEntries(parts);
}

function splOf(der: Uint8Array): number {
  const spl = smallInteger(parseDer(der, { maxBytes: 8, maxNodes: 1 }));
  if (spl > 255) throw new Malformed('a TCB part above 255');
  return spl;
}

function ia5(der: Uint8Array | undefined): string {
  const { contents } = expectTag(der && parseDer(der, { maxBytes: 256, maxNodes: 1 }), TAG.ia5String);
  return Buffer.from(contents).toString('latin1');
}
