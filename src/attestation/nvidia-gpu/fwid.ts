/** FWID: the digest of the firmware that a report's key was derived for, in the certificate (TCG DICE attestation architecture). */
import { toHex } from '../../domain/bytes.ts';
import type { Certificate } from '../x509/certificate.ts';
import { child, type DerNode, Malformed, oidText, parseDer, TAG } from '../x509/der.ts';

/** tcg-dice-TcbInfo: Blackwell. */
const TCB_INFO = '2.23.133.5.4.1.1';
const TCB_INFO_FWIDS = 0xa6;
/** Hopper and LS10: a compositeDeviceId, whose last part is the FWID. */
const COMPOSITE_DEVICE_ID = '2.23.133.5.4.1';
const SHA_384 = '2.16.840.1.101.3.4.2.2';
const LIMITS = { maxBytes: 1024, maxNodes: 64 };

/** Hex; undefined when the certificate has none, as every certificate above the leaf. */
export function fwidOf({ extensions }: Certificate): string | undefined {
  const tcbInfo = extensions.get(TCB_INFO);
  const composite = extensions.get(COMPOSITE_DEVICE_ID);
  try {
    if (tcbInfo !== undefined) return digestOf(firstOf(parseDer(tcbInfo.value, LIMITS)));
    if (composite !== undefined) return digestOf(parseDer(composite.value, LIMITS).children.at(-1));
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
  }
  return undefined;
}

function firstOf(tcbInfo: DerNode): DerNode | undefined {
  return tcbInfo.children.find(({ tag }) => tag === TCB_INFO_FWIDS)?.children[0];
}

function digestOf(fwid: DerNode | undefined): string {
  if (fwid === undefined || oidText(fwid.children[0]) !== SHA_384) throw new Malformed('a FWID that is not SHA-384');
  const { contents } = child(fwid, 1, TAG.octetString);
  if (contents.length !== 48) throw new Malformed('a FWID of another length');
  return toHex(contents);
}
