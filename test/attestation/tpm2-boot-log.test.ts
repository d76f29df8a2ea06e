/** A boot log as part of `tpm2` evidence: optional, believed where it equals the quote, and then facts for policies. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { parsePublicArea } from '../../src/attestation/tpm2/public-area.ts';
import { createTpm2Verifier } from '../../src/attestation/tpm2/verifier.ts';
import { concat, toBase64 } from '../../src/domain/bytes.ts';
import { isRefusal, type PcrBanks, tpm2AttesterKey, tpm2ExtraData } from '../../src/domain/evidence.ts';
import { problemsOfFacts } from '../../src/domain/facts.ts';
import { evidenceVerifierContract } from '../contract/evidence-verifier.ts';
import { type Bank, latin, log, opening, variable } from './log-maker.ts';
import { attest, makeAk, publicArea, tpmSignature } from './quote-maker.ts';
import { reportChecks } from './report-checks.ts';
import { contextWithout, enrolled } from './samples.ts';

const ak = makeAk();
const akPublic = publicArea(ak);
const { name } = parsePublicArea(akPublic);
const verifier = createTpm2Verifier(reportChecks());
const context = { ...contextWithout(), attester: async (key: string) => (key === tpm2AttesterKey(name) ? enrolled(name) : undefined) };

const secureBoot = { register: 7, type: 0x8000_0001, data: variable('SecureBoot', Uint8Array.of(1)) };
const separator = { register: 7, type: 4, data: new Uint8Array(4) };
const loader = { register: 4, type: 0x8000_0003, data: latin('path'), measured: latin('loader') };
const lineOf = (text: string) => ({ register: 8, type: 0x0d, data: latin(`kernel_cmdline: ${text}\0`), measured: latin(text) });
type Events = ReadonlyArray<{ register: number; type: number; data: Uint8Array; measured?: Uint8Array }>;
const booted: Events = [secureBoot, separator, loader, lineOf('root=/dev/sda')];

/** What a TPM that measured `events` holds. */
function pcrsAfter(events: Events, bank: 'sha256' | 'sha384', indexes: readonly number[]): PcrBanks {
  const bytes = bank === 'sha256' ? 32 : 48;
  const extend = (before: Buffer, { data, measured = data }: Events[number]) =>
    createHash(bank).update(before).update(createHash(bank).update(measured).digest()).digest();
  const value = (index: number) => events.filter(({ register }) => register === index).reduce(extend, Buffer.alloc(bytes));
  return { [bank]: Object.fromEntries(indexes.map((index) => [String(index), value(index).toString('hex')])) };
}

function bodyOf(eventLog: Uint8Array | undefined, pcrs: PcrBanks = pcrsAfter(booted, 'sha256', [0, 4, 7, 8])) {
  const quote = attest({ pcrs, nonce: tpm2ExtraData(context.binding) });
  const log = eventLog === undefined ? {} : { eventLog: toBase64(eventLog) };
  return { quote: toBase64(quote), signature: toBase64(tpmSignature(quote, ak)), akPublic: toBase64(akPublic), pcrs, ...log };
}
const BANKS: readonly Bank[] = ['sha1', 'sha256'];
const verify = async (body: ReturnType<typeof bodyOf>) => verifier.verify(body, context);
const factsOf = async (body: ReturnType<typeof bodyOf>) => {
  const answer = await verify(body);
  if (isRefusal(answer)) throw new Error(answer.detail);
  expect(problemsOfFacts('tpm2', answer.facts)).toEqual([]);
  return answer.facts;
};

evidenceVerifierContract('tpm2 without a log', () => ({ verifier, body: bodyOf(undefined), context }));

describe('a boot log', () => {
  test('that equals the quoted PCRs gives facts by the bank that was quoted', async () => {
    expect(await factsOf(bodyOf(log(BANKS, ...booted)))).toMatchObject({
      logBank: 'sha256',
      secureBoot: true,
      bootApplications: [createHash('sha256').update('loader').digest('hex')],
      commandLines: ['root=/dev/sda'],
    });
    const both = { ...pcrsAfter(booted, 'sha256', [7]), ...pcrsAfter(booted, 'sha384', [4, 7]) };
    expect(await factsOf(bodyOf(log(['sha256', 'sha384'], ...booted), both))).toMatchObject({ logBank: 'sha384', secureBoot: true });
  });

  test('gives no fact of a PCR that was not quoted, and none without it', async () => {
    const some = await factsOf(bodyOf(log(BANKS, ...booted), pcrsAfter(booted, 'sha256', [4])));
    expect(Object.keys(some)).toEqual(expect.arrayContaining(['logBank', 'bootApplications']));
    expect(some).not.toHaveProperty('secureBoot');
    expect(await factsOf(bodyOf(undefined))).not.toHaveProperty('logBank');
  });

  test('that is not what the TPM measured is refused, naming the PCR and both values', async () => {
    const forged = log(BANKS, { ...secureBoot, data: variable('SecureBoot', Uint8Array.of(0)) }, separator, loader);
    const refused = await verify(bodyOf(forged));
    expect(refused).toMatchObject({ code: 'evidence_signature_invalid', subject: { name: 'gpu-17' } });
    if (!isRefusal(refused)) throw new Error('accepted');
    expect(refused.failed).toEqual([
      { claim: 'PCR sha256:7 as the event log has it', expected: [expect.any(String)], seen: expect.any(String) },
    ]);
    expect(refused.failed?.[0]?.expected[0]).not.toBe(refused.failed?.[0]?.seen);
  });

  test.each([
    ['no log', latin('no log')],
    ['of the old form', concat(opening(latin('x'), 8))],
    ['SHA-1 alone', log(['sha1'], ...booted)],
    ['more than 128 KiB', concat(log(BANKS, ...booted), new Uint8Array(131_072))],
  ])('that cannot be read is malformed: %s', async (_, bytes) => {
    expect(await verify(bodyOf(bytes))).toMatchObject({ code: 'evidence_malformed' });
  });

  test('is malformed as anything but canonical base64', async () => {
    for (const eventLog of ['', '====', 7, null, ['AAAA']]) {
      expect(await verifier.verify({ ...bodyOf(undefined), eventLog }, context)).toMatchObject({ code: 'evidence_malformed' });
    }
  });

  test('that says too much says nothing of it: a part would say something else', async () => {
    const long: Events = [secureBoot, separator, lineOf('a'.repeat(1025))];
    const facts = await factsOf(bodyOf(log(BANKS, ...long), pcrsAfter(long, 'sha256', [7, 8])));
    expect([facts['secureBoot'], facts['commandLines']]).toEqual([true, undefined]);
    const many: Events = Array.from({ length: 17 }, () => loader);
    expect(await factsOf(bodyOf(log(BANKS, ...many), pcrsAfter(many, 'sha256', [4])))).not.toHaveProperty('bootApplications');
  });
});
