/** Ten thousand reference values cost what ten do: only those that share the telling part are compared, and a refusal looks at a bounded number. */
import { describe, expect, test } from '@jest/globals';
import { sourceOf, statedBy } from '../../src/attestation/reference-index.ts';
import { matchReferenceValues } from '../../src/attestation/reference-values.ts';
import { isRefusal, type ReferenceValue, type VerifiedClaims } from '../../src/domain/evidence.ts';
import { supposePiece } from '../../src/policy/suppose-pieces.ts';
import { ENROLLED } from './token-issuer.ts';

const NOW = new Date('2026-11-30T00:00:00Z');
const hex = (at: number) => at.toString(16).padStart(96, '0');
const guest = (mrtd: string): VerifiedClaims => ({
  kind: 'tdx',
  attester: { ...ENROLLED, kind: 'tdx', identity: { fact: 'mrtd', value: mrtd } },
  facts: { ...supposePiece('tdx', {}).facts, mrtd },
});
const image = (at: number): ReferenceValue => ({ id: `image-${at}`, kind: 'tdx', claims: { mrtd: [hex(at)], xfam: ['e7'] } });
const quote = (seven: string): VerifiedClaims => ({
  kind: 'tpm2',
  attester: { ...ENROLLED, kind: 'tpm2', akName: '000b', ekCertificateDigest: 'e'.repeat(64) as never },
  pcrs: { sha256: { '0': 'aa'.repeat(32), '7': seven } },
  facts: { akName: '000b', akTrust: 'activation' },
});
const boot = (at: number): ReferenceValue => ({
  id: `boot-${at}`,
  kind: 'tpm2',
  pcrs: { sha256: { '0': ['aa'.repeat(32)], '7': [at.toString(16).padStart(64, '0')] } },
});

/** How many values are held against the claims in full. */
function candidates(values: readonly ReferenceValue[], claims: VerifiedClaims): number {
  const source = sourceOf(values, claims);
  const stated = statedBy(claims);
  return [...(source?.filed ?? [])].reduce((sum, [part, drawer]) => sum + (drawer.get(stated(part) ?? '') ?? []).length, 0);
}

describe.each([10, 10_000])('among %d values', (count) => {
  test('a guest is held against the one of its image, though every value shares another part', () => {
    const values = Array.from({ length: count }, (_, at) => image(at));
    expect(candidates(values, guest(hex(7)))).toBe(1);
    const claims = { ...guest(hex(7)), facts: { ...guest(hex(7)).facts, xfam: 'e7' } } as VerifiedClaims;
    expect(matchReferenceValues(claims, values, NOW)).toEqual([{ id: 'image-7' }]);
  });

  test('a quote is held against the one of its PCR 7, though PCR 0 is the same everywhere', () => {
    const values = Array.from({ length: count }, (_, at) => boot(at));
    const seven = (3).toString(16).padStart(64, '0');
    expect(candidates(values, quote(seven))).toBe(1);
    expect(matchReferenceValues(quote(seven), values, NOW)).toEqual([{ id: 'boot-3' }]);
  });

  test('one that matches none is refused, and says what was expected', () => {
    const values = Array.from({ length: count }, (_, at) => image(at));
    expect(candidates(values, guest('ff'.repeat(48)))).toBe(0);
    const answer = matchReferenceValues(guest('ff'.repeat(48)), values, NOW);
    expect(isRefusal(answer) && [answer.code, answer.failed?.some(({ claim }) => claim === 'mrtd')]).toEqual([
      'measurement_mismatch',
      true,
    ]);
  });
});

describe('the arrangement', () => {
  test('finds every value that matches, in the order of the list, however often one is filed', () => {
    const twice: ReferenceValue = { id: 'twice', kind: 'tdx', claims: { mrtd: [hex(1), hex(1), hex(2)] } };
    const values: ReferenceValue[] = [twice, { id: 'plain', kind: 'tdx', claims: { mrtd: [hex(1)] } }, image(3)];
    expect(matchReferenceValues(guest(hex(1)), values, NOW)).toEqual([{ id: 'twice' }, { id: 'plain' }]);
  });

  test('is made once for a list, and again for another', () => {
    const values = [image(1)];
    expect(sourceOf(values, guest(hex(1)))).toBe(sourceOf(values, guest(hex(2))));
    expect(sourceOf([image(1)], guest(hex(1)))).not.toBe(sourceOf(values, guest(hex(1))));
  });

  test('files nothing under a SHA-1 bank that could be found by it', () => {
    const values: ReferenceValue[] = [{ id: 'old', kind: 'tpm2', pcrs: { sha1: { '0': ['ab'.repeat(20)] } } }];
    expect(candidates(values, { ...quote(''), pcrs: { sha1: { '0': 'ab'.repeat(20) } } } as VerifiedClaims)).toBe(0);
  });
});

test('a refusal compares with what still counts, though ten thousand that expired stand in front', () => {
  const expired = Array.from({ length: 10_000 }, (_, at) => ({ ...image(at), expires: at % 2 ? '2026-01-01T00:00:00Z' : 'never' }));
  const answer = matchReferenceValues(
    guest(hex(77_777)),
    [...expired, { ...image(66_666), id: 'the-last', expires: '2027-01-01T00:00:00Z' }],
    NOW,
  );
  expect(answer).toMatchObject({ code: 'measurement_mismatch', detail: expect.stringContaining('the-last') });
  expect(matchReferenceValues(guest(hex(77_777)), expired, NOW)).toMatchObject({ detail: expect.stringContaining('has expired') });
});
