/** A quote is believed because of its signature: every scheme a TPM may use, against Wycheproof's good and crooked signatures. */
import { createPublicKey } from 'node:crypto';
import { expect, test } from '@jest/globals';
import type { HashName } from '../../src/attestation/tpm2/algorithms.ts';
import { signatureVerifies, type TpmSignature } from '../../src/attestation/tpm2/signature.ts';
import { withVectors } from '../shared-vectors.ts';

interface Case {
  readonly tcId: number;
  readonly comment: string;
  readonly msg: string;
  readonly sig: string;
  readonly result: 'valid' | 'invalid' | 'acceptable';
}
interface Vectors {
  readonly testGroups: ReadonlyArray<{
    readonly publicKeyDer: string;
    readonly sha: string;
    readonly sLen?: number;
    readonly tests: readonly Case[];
  }>;
}

/** Old TPMs sign with the longest salt that fits (TPM 2.0 part 1, B.7), which these files call wrong for their key. */
const LONGEST_SALT: ReadonlySet<string> = new Set(['s_len changed to 222', 's_len changed to 462']);

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));

function check(title: string, file: string, signatureOf: (sig: Uint8Array, hash: HashName) => TpmSignature | undefined): void {
  withVectors<Vectors>(title, `wycheproof/${file}.json`, ({ testGroups }) => {
    test('accepts the valid ones and no invalid one', () => {
      let tried = 0;
      const wrong = testGroups.flatMap(({ publicKeyDer, sha, tests }) => {
        const key = createPublicKey({ key: Buffer.from(publicKeyDer, 'hex'), format: 'der', type: 'spki' });
        const hash = sha.toLowerCase().replace('-', '') as HashName; // SHA-256 or SHA-384 in these files
        return tests.filter((one) => {
          const signature = signatureOf(bytes(one.sig), hash);
          if (signature === undefined || one.result === 'acceptable' || LONGEST_SALT.has(one.comment)) return false;
          tried++;
          return signatureVerifies(bytes(one.msg), signature, key) !== (one.result === 'valid');
        });
      });
      expect(wrong.map(({ tcId, comment }) => `${tcId} ${comment}`)).toEqual([]);
      expect(tried).toBeGreaterThan(50);
    });
  });
}

/** A TPM sends r and s apart; what is not two halves of the field's width is no TPMT_SIGNATURE. */
const ecdsa =
  (width: number) =>
  (sig: Uint8Array, hash: HashName): TpmSignature | undefined =>
    sig.length === 2 * width ? { scheme: { name: 'ecdsa', hash }, r: sig.slice(0, width), s: sig.slice(width) } : undefined;

check('ECDSA P-256', 'ecdsa_secp256r1_sha256_p1363_test', ecdsa(32));
check('ECDSA P-384', 'ecdsa_secp384r1_sha384_p1363_test', ecdsa(48));
for (const bits of [2048, 3072]) {
  check(`RSASSA ${bits}`, `rsa_signature_${bits}_sha256_test`, (value, hash) => ({ scheme: { name: 'rsassa', hash }, value }));
}
check('RSAPSS 2048', 'rsa_pss_2048_sha256_mgf1_32_test', (value, hash) => ({ scheme: { name: 'rsapss', hash }, value }));
check('RSAPSS 4096', 'rsa_pss_4096_sha384_mgf1_48_test', (value, hash) => ({ scheme: { name: 'rsapss', hash }, value }));
