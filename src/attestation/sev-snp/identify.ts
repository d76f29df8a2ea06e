/** What AMD publishes, known when it is imported: chains, lists, certificates of chips. Nothing counts that does not lead to a root. */
import { toHex } from '../../domain/bytes.ts';
import type { IdentifiedCollateral } from '../port.ts';
import type { Certificate } from '../x509/certificate.ts';
import { isCrlOf, listCounter, readCrl } from '../x509/crl.ts';
import { orUndefined } from '../x509/der.ts';
import { partOf } from '../x509/names.ts';
import { IssuerMemo, pathToRoot } from '../x509/path.ts';
import { overlap } from '../x509/validity.ts';
import { lifeOf } from './endorsement.ts';
import { type EndorsementKey, readEndorsementKey } from './endorsement-key.ts';
import { PRODUCTS, type Product, tcbBytes } from './product.ts';

/** A chain is 5 KiB, a list 1 KiB. */
const MAX_BYTES = 65_536;
const CHIP_ID_BYTES = 64;

/**
 * `amd-chain`: PEM of an intermediate, with its ARK or without. `amd-crl`: DER or PEM. `amd-vcek`: PEM of a VCEK and, behind it, its
 * intermediate: alone it leads to no root.
 */
export function identifySnpCollateral(bytes: Uint8Array, roots: readonly Uint8Array[]): IdentifiedCollateral | undefined {
  if (bytes.length > MAX_BYTES) return undefined;
  const memo = new IssuerMemo();
  const pinned = roots.flatMap((root) => orUndefined(() => memo.certificates(root)) ?? []);
  return identifyCrl(bytes, pinned) ?? identifyCertificates(bytes, pinned, memo);
}

function identifyCrl(bytes: Uint8Array, pinned: readonly Certificate[]): IdentifiedCollateral | undefined {
  const crl = orUndefined(() => readCrl(bytes));
  const root = crl && pinned.find((one) => isCrlOf(crl, one));
  const product = root && productNamed(root, /^ARK-(.+)$/);
  return crl && product && { type: 'amd-crl', key: product, issuedAt: crl.from, expiresAt: crl.until, ...listCounter(crl) };
}

function identifyCertificates(bytes: Uint8Array, pinned: readonly Certificate[], memo: IssuerMemo): IdentifiedCollateral | undefined {
  const [first, ...issuers] = orUndefined(() => memo.certificates(bytes)) ?? [];
  const path = first && pathToRoot(first, { issuers, roots: pinned, memo });
  const life = path && overlap(path.map(lifeOf));
  if (first === undefined || path === undefined || life === undefined) return undefined;
  const dates = { issuedAt: first.notBefore, expiresAt: life.until };
  if (path.length === 2) {
    const product = productNamed(first, /^SEV-(?:VLEK-)?(.+)$/);
    const kind = partOf(first.subject, 'CN')?.startsWith('SEV-VLEK-') ? 'VLEK' : 'VCEK';
    return product && { type: 'amd-chain', key: `${product}/${kind}`, ...dates };
  }
  const key = orUndefined(() => readEndorsementKey(first));
  const product = path.length === 3 ? productNamed(path[2] ?? first, /^ARK-(.+)$/) : undefined;
  const name = key && product && chipName(key, product);
  return name === undefined ? undefined : { type: 'amd-vcek', key: name, ...dates };
}

function productNamed({ subject }: Certificate, form: RegExp): Product | undefined {
  const name = form.exec(partOf(subject, 'CN') ?? '')?.[1];
  return PRODUCTS.find((product) => product === name);
}

/** As the verifier asks for it: chip id as a report writes it, zeros behind Turin's 8 bytes. A VLEK is of no chip, and comes with the report. */
function chipName({ hwId, tcb }: EndorsementKey, product: Product): string | undefined {
  return hwId && `${product}/${toHex(hwId).padEnd(2 * CHIP_ID_BYTES, '0')}/${toHex(tcbBytes(tcb, product))}`;
}
