/** PCK certificate: which platform, at which TCB (Intel SGX PCK Certificate and CRL profile, 1.3.5). */
import { toHex } from '../../domain/bytes.ts';
import type { Certificate } from '../x509/certificate.ts';
import { type DerNode, expectTag, Malformed, oidText, parseDer, smallInteger, TAG } from '../x509/der.ts';
import { partOf } from '../x509/names.ts';
import { curveOf } from '../x509/signature.ts';

const SGX = '1.2.840.113741.1.13.1';
const TCB = `${SGX}.2`;
const COMPONENTS = 16;
const PCESVN = `${TCB}.17`;

export interface Pck {
  readonly certificate: Certificate;
  /** `Intel SGX PCK Platform CA` or `Intel SGX PCK Processor CA`. */
  readonly issuer: string;
  /** Lower-case hex. */
  readonly ppid: string;
  readonly fmspc: string;
  readonly pceId: string;
  /** 16 security version numbers. */
  readonly components: readonly number[];
  readonly pceSvn: number;
}

/** Throws Malformed for a certificate that is not one. */
export function readPck(certificate: Certificate): Pck {
  const issuer = partOf(certificate.issuer, 'CN');
  const value = certificate.extensions.get(SGX)?.value;
  if (value === undefined || issuer === undefined || curveOf(certificate.publicKey) !== 'prime256v1')
    throw new Malformed('not a PCK certificate');
  const members = readMembers(expectTag(parseDer(value, { maxBytes: 2048, maxNodes: 160 }), TAG.sequence));
  const tcb = readMembers(expectTag(members.get(TCB), TAG.sequence));
  const octets = (suffix: string, length: number) => {
    const { contents } = expectTag(members.get(`${SGX}.${suffix}`), TAG.octetString);
    if (contents.length !== length) throw new Malformed(`member ${suffix} of another length`);
    return toHex(contents);
  };
  return {
    certificate,
    issuer,
    ppid: octets('1', 16),
    pceId: octets('3', 2),
    fmspc: octets('4', 6),
    components: Array.from({ length: COMPONENTS }, (_, at) => svn(tcb.get(`${TCB}.${at + 1}`), 0xff)),
    pceSvn: svn(tcb.get(PCESVN), 0xffff),
  };
}

/** SEQUENCE of {id, value}, each id once. */
function readMembers(sequence: DerNode): ReadonlyMap<string, DerNode> {
  const members = new Map<string, DerNode>();
  for (const member of sequence.children) {
    const [id, value, ...more] = expectTag(member, TAG.sequence).children;
    const oid = oidText(id);
    if (value === undefined || more.length > 0 || members.has(oid)) throw new Malformed(`member ${oid} is not one value`);
    members.set(oid, value);
  }
  return members;
}

function svn(node: DerNode | undefined, maximum: number): number {
  const value = smallInteger(node);
  if (value > maximum) throw new Malformed('a security version number out of bounds');
  return value;
}
