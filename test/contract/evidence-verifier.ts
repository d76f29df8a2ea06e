/** What any EvidenceVerifier must do. A new kind passes this before anything of its own is asked. */
import { describe, expect, test } from '@jest/globals';
import { KINDS } from '../../src/attestation/kinds.ts';
import type { EvidenceVerifier, VerificationContext } from '../../src/attestation/port.ts';
import { attesterOf, isRefusal } from '../../src/domain/evidence.ts';
import { problemsOfFacts } from '../../src/domain/facts.ts';
import type { Namespace } from '../../src/domain/ids.ts';

export interface EvidenceSample {
  readonly verifier: EvidenceVerifier;
  /** Genuine evidence, and a context in which it must verify. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly context: VerificationContext;
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
      const { context } = await makeSample();
      const altered = Uint8Array.from(context.binding, (byte, at) => (at === context.binding.length - 1 ? byte ^ 1 : byte));
      for (const binding of [altered, new Uint8Array(0), context.binding.slice(0, -1)]) {
        expect(await codeWith({ context: { binding } })).toBe('evidence_binding_mismatch');
      }
    });

    test('refuses an attester that is not enrolled, or enrolled in another namespace', async () => {
      expect(await codeWith({ context: { attester: async () => undefined } })).toBe('attester_key_unknown');
      expect(await codeWith({ context: { namespace: 'elsewhere' as Namespace } })).toBe('attester_key_unknown');
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
