/** What any EvidenceVerifier must do. A new kind passes this before anything of its own is asked. */
import { describe, expect, test } from '@jest/globals';
import { KINDS, provedBy } from '../../src/attestation/kinds.ts';
import type { EvidenceVerifier, VerificationContext } from '../../src/attestation/port.ts';
import { attesterOf, isRefusal } from '../../src/domain/evidence.ts';
import { problemsOfFacts } from '../../src/domain/facts.ts';
import type { Namespace } from '../../src/domain/ids.ts';

export interface EvidenceSample {
  readonly verifier: EvidenceVerifier;
  /** Genuine evidence, and a context in which it must verify. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly context: VerificationContext;
  /** Contexts of others, where the evidence is not bound by B. An empty list: it is nobody's but its bearer's, and must say so. */
  readonly elsewhere?: ReadonlyArray<Partial<VerificationContext>>;
}

export function evidenceVerifierContract(name: string, makeSample: () => EvidenceSample | Promise<EvidenceSample>): void {
  describe(`${name} as an EvidenceVerifier`, () => {
    const verifyWith = async (change: { body?: unknown; context?: Partial<VerificationContext> }) => {
      const { verifier, body, context } = await makeSample();
      return verifier.verify((change.body ?? body) as Record<string, unknown>, { ...context, ...change.context }); // a stranger's JSON
    };
    const codeWith = async (change: Parameters<typeof verifyWith>[0]) => {
      const answer = await verifyWith(change);
      return isRefusal(answer) ? answer.code : 'verified';
    };

    /** The code, and for the administrator what was expected. */
    const saysWhat = (code: string) => ({
      code,
      failed: expect.arrayContaining([expect.objectContaining({ claim: expect.any(String), expected: expect.any(Array) })]),
    });

    test('verifies genuine evidence and says whose it is', async () => {
      const { verifier, context } = await makeSample();
      const claims = await verifyWith({});
      if (isRefusal(claims)) throw new Error(`${claims.code}: ${claims.detail}`);
      expect(claims.kind).toBe(verifier.kind);
      expect(attesterOf(claims)?.namespace).toBe(KINDS[claims.kind].standsAlone ? context.namespace : undefined);
      expect(problemsOfFacts(claims.kind, claims.facts)).toEqual([]);
    });

    test('gives the same answer twice, because it keeps no state', async () => {
      expect(await verifyWith({})).toEqual(await verifyWith({}));
    });

    test('refuses evidence bound to anything else', async () => {
      const { context, elsewhere } = await makeSample();
      const altered = Uint8Array.from(context.binding, (byte, at) => (at === context.binding.length - 1 ? byte ^ 1 : byte));
      const others = elsewhere ?? [altered, new Uint8Array(0), context.binding.slice(0, -1)].map((binding) => ({ binding }));
      for (const other of others) expect(await verifyWith({ context: other })).toMatchObject(saysWhat('evidence_binding_mismatch'));
      const claims = await verifyWith({});
      if (isRefusal(claims)) throw new Error(claims.detail);
      if (elsewhere !== undefined) expect(provedBy(claims)).toMatchObject({ fresh: false, keyBound: elsewhere.length > 0 });
    });

    test('refuses an attester that is not enrolled, or enrolled in another namespace', async () => {
      for (const context of [{ attester: async () => undefined }, { namespace: 'elsewhere' as Namespace }]) {
        expect(await verifyWith({ context })).toMatchObject(saysWhat('attester_key_unknown'));
      }
    });

    test('rejects when the store cannot answer, instead of calling the attester unknown', async () => {
      const attester = () => Promise.reject(new Error('the database is gone'));
      await expect(verifyWith({ context: { attester } })).rejects.toThrow('the database is gone');
    });

    test('refuses what has another shape', async () => {
      const { body } = await makeSample();
      const strange = { ...body, unexpected: 1 };
      const proto = JSON.parse('{"__proto__": {"quote": "AAAA"}}');
      for (const wrong of [{}, [], { ...body, kind: 'x' }, strange, proto, { a: 'x'.repeat(1 << 20) }]) {
        expect(await codeWith({ body: wrong })).toBe('evidence_malformed');
      }
    });

    test('refuses a body that lacks any member, or has it as another type', async () => {
      const { body } = await makeSample();
      for (const member of Object.keys(body)) {
        const { [member]: _, ...without } = body;
        expect(await codeWith({ body: without })).toBe('evidence_malformed');
        for (const value of [null, 7, [], {}, '', 'A'.repeat(1 << 20)]) {
          expect(await codeWith({ body: { ...body, [member]: value } })).toBe('evidence_malformed');
        }
      }
    });
  });
}
