/** docs/formats/evidence-jwt.md begins with a real token; the vector says what it proves, and the pages that mention it agree. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { parseJwtEvidence } from '../../src/attestation/jwt/evidence.ts';
import { createJwtVerifier } from '../../src/attestation/jwt/verifier.ts';
import { matchReferenceValues } from '../../src/attestation/reference-values.ts';
import { trustAnchor } from '../../src/documents/anchors.ts';
import { BODY_SCHEMAS } from '../../src/documents/bodies.ts';
import { referenceValue } from '../../src/documents/reference-values.ts';
import { fromHex } from '../../src/domain/bytes.ts';
import { attesterKeyOf, isRefusal, type JwtAnchor, type JwtReferenceValue, jwtNonce, type Proved } from '../../src/domain/evidence.ts';
import { tokenRequester } from '../../src/http/admin-plane/bodies.ts';
import { formatVectors, pageBlocks } from '../domain/format-vectors.ts';
import { contextWith, ENROLLED } from './token-issuer.ts';

interface Vector {
  readonly at: string;
  readonly binding: string;
  readonly nonce: string;
  readonly header: object;
  readonly claims: { readonly sub: string };
  readonly token: string;
  readonly anchor: JwtAnchor;
  readonly referenceValue: JwtReferenceValue;
  readonly proved: Proved;
  readonly facts: Readonly<Record<string, string>>;
}
const vector: Vector = JSON.parse(readFileSync(new URL('../vectors/attestation/jwt.json', import.meta.url), 'utf8'));
const blocks = pageBlocks('evidence-jwt.md')
  .filter((block) => block.startsWith('{'))
  .map((block) => JSON.parse(block));

describe('the vector', () => {
  const attester = { ...ENROLLED, issuer: vector.anchor.issuer, subject: vector.claims.sub };
  const context = contextWith(vector.anchor, {
    binding: fromHex(vector.binding),
    now: new Date(vector.at),
    attester: async (key) => (key === attesterKeyOf(attester) ? attester : undefined),
  });

  test('is over the binding of evidence-binding.json', () => {
    const { cases } = formatVectors<{ cases: { binding: string }[] }>('evidence-binding.json');
    expect(vector.binding).toBe(cases[0]?.binding);
    expect(jwtNonce(fromHex(vector.binding))).toBe(vector.nonce);
  });

  test('verifies, proves and matches what it says', async () => {
    const answer = await createJwtVerifier({ keysOf: () => Promise.reject(new Error('no set is needed')) }).verify(
      { token: vector.token },
      context,
    );
    if (isRefusal(answer)) throw new Error(answer.detail);
    expect([answer.proved, answer.facts]).toEqual([vector.proved, vector.facts]);
    expect(matchReferenceValues(answer, [vector.referenceValue], context.now)).toEqual([{ id: vector.referenceValue.id }]);
  });

  test('is one token: its parts are the ones beside it', () => {
    const token = parseJwtEvidence({ token: vector.token });
    expect(isRefusal(token) || token.claims).toEqual(vector.claims);
    expect(Buffer.from(vector.token.split('.')[0] ?? '', 'base64url').toString()).toBe(JSON.stringify(vector.header));
    expect([trustAnchor.safeParse(vector.anchor).success, referenceValue.safeParse(vector.referenceValue).success]).toEqual([true, true]);
  });
});

describe('the pages', () => {
  test('evidence-jwt.md shows the token, its claims, the anchor and the reference value', () => {
    expect(blocks).toEqual([{ kind: 'jwt', body: { token: vector.token } }, vector.claims, vector.anchor, vector.referenceValue]);
  });

  test('evidence-binding.md has its nonce', () => {
    expect(readFileSync(new URL('../../docs/formats/evidence-binding.md', import.meta.url), 'utf8')).toContain(`\`${vector.nonce}\``);
  });

  test('enrolment.md shows a request the vault takes, and the document it signs for it', () => {
    const [, , request, document] = pageBlocks('enrolment.md').map((block) => JSON.parse(block));
    expect(tokenRequester.parse(request)).toEqual(request);
    expect(BODY_SCHEMAS.attester.parse(document)).toEqual(document);
    expect(document).toMatchObject({ kind: 'jwt', issuer: request.issuer, subject: request.subject, attributes: request.attributes });
  });
});
