/** Twins of one piece of evidence are examined by the thousand. */
import { type Certificate, isIssuedBy } from '../../src/attestation/x509/certificate.ts';
import { IssuerMemo } from '../../src/attestation/x509/path.ts';

/**
 * One for all twins of one piece: a leaf that a flip leaves as it was is verified once. Every answer is the one that a fresh instance gives;
 * only the time is another.
 */
export class TwinsMemo extends IssuerMemo {
  readonly #leaves = new Map<string, boolean>();

  override isLeafIssuedBy(leaf: Certificate, issuer: Certificate): boolean {
    const pair = `${leaf.fingerprint} ${issuer.fingerprint}`;
    const answer = this.#leaves.get(pair) ?? isIssuedBy(leaf, issuer);
    this.#leaves.set(pair, answer);
    return answer;
  }
}
