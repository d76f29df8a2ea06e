/** Evidence of kind `nitro` as a vault judges it, and the attester in the enclave, over a stand-in for the helper that asks /dev/nsm. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { createNitroAttester } from '../../src/attestation/nitro/attester.ts';
import { createNitroVerifier } from '../../src/attestation/nitro/verifier.ts';
import type { VerificationContext } from '../../src/attestation/port.ts';
import { toBase64 } from '../../src/domain/bytes.ts';
import { isRefusal, type TrustAnchor, teeReportData } from '../../src/domain/evidence.ts';
import { evidenceVerifierContract } from '../contract/evidence-verifier.ts';
import { answered, answeredBinding, contextOf, enrolledBy } from './answered-challenge.ts';
import { bstr, type Enclave, type Members, makeDocument, map, membersOf, NITRO_NOW, pcr, startEnclave, uint } from './nitro-enclave.ts';

const enclave = await startEnclave();
const anchorOf = ({ bundle: [root] }: Enclave): TrustAnchor => ({
  kind: 'nitro',
  name: 'aws',
  certificate: toBase64(root?.der ?? new Uint8Array(0)),
});
const anchor = anchorOf(enclave);
const enrolled = enrolledBy('nitro', 'pcr0', '01'.repeat(48));
const context = contextOf(NITRO_NOW, [anchor], enrolled);
const verifier = createNitroVerifier();

const bound = { user_data: bstr(teeReportData(answeredBinding)), nonce: bstr(answered.challengeNonce) };
const bodyOf = async (change: Members = {}, from = enclave) => ({
  document: toBase64(await makeDocument(from, { payload: map(...membersOf(from, { ...bound, ...change })) })),
});
const verdict = async (body: Record<string, unknown>, change: Partial<VerificationContext> = {}) => {
  const answer = await verifier.verify(body, { ...context, ...change });
  return isRefusal(answer) ? answer.code : answer;
};

evidenceVerifierContract('nitro', async () => ({ verifier, body: await bodyOf(), context }));

describe('nitro evidence', () => {
  test('states what the enclave measured, and what the verdict stood on', async () => {
    expect(await verdict(await bodyOf())).toMatchObject({
      kind: 'nitro',
      attester: { name: 'nitro-1' },
      facts: {
        moduleId: 'i-0123456789-enc01',
        timestampMs: NITRO_NOW.getTime(),
        pcr0: '01'.repeat(48),
        pcr16: '11'.repeat(48),
        debug: false,
      },
      endorsements: [{ what: 'enclave certificate' }, {}, {}, {}, { what: 'issuer certificate' }],
    });
  });

  test('of another challenge, another key, or with user data cut or filled up, is not bound', async () => {
    const data = teeReportData(answeredBinding);
    for (const change of [
      { nonce: bstr(new Uint8Array(32)) },
      { nonce: bstr(answered.challengeNonce.slice(1)) },
      { nonce: Buffer.of(0xf6) },
      { user_data: bstr(data.slice(0, 32)) },
      { user_data: bstr(Buffer.concat([data, Buffer.of(0)])) },
      { user_data: Buffer.of(0xf6) },
      { user_data: undefined },
    ]) {
      expect(await verdict(await bodyOf(change))).toBe('evidence_binding_mismatch');
    }
    expect(await verdict(await bodyOf(), { challengeNonce: new Uint8Array(32) })).toBe('evidence_binding_mismatch');
  });

  test('of a debug enclave is verified and says so: the appraisal refuses it by name', async () => {
    const zeros = map(...[0, 1, 2].map((index) => [uint(index), bstr(pcr(0))] as const), [uint(3), bstr(pcr(4))]);
    const owner = enrolledBy('nitro', 'pcr3', '04'.repeat(48));
    const { attester } = contextOf(NITRO_NOW, [anchor], owner);
    expect(await verdict(await bodyOf({ pcrs: zeros }), { attester })).toMatchObject({ facts: { debug: true } });
  });

  test('under no anchor, another vendor’s or a lookalike of it is not endorsed', async () => {
    const other = await startEnclave();
    const reversed: TrustAnchor = { ...anchor, kind: 'nvidia-gpu' } as TrustAnchor;
    for (const anchors of [[], [reversed], [anchorOf(other)]])
      expect(await verdict(await bodyOf(), { anchors })).toBe('endorsement_untrusted');
    expect(await verdict(await bodyOf({}, other))).toBe('endorsement_untrusted');
    expect(await verdict(await bodyOf({ cabundle: Buffer.of(0xf6) }))).toBe('endorsement_untrusted');
  });

  test('whose anchor is no certificate is our own fault, and no answer', async () => {
    const anchors = [{ ...anchor, certificate: 'AAAA' } as TrustAnchor];
    await expect(verifier.verify(await bodyOf(), { ...context, anchors })).rejects.toMatchObject({ code: 'document_invalid' });
  });

  test('late, early, altered or lengthened has a code of its own', async () => {
    const body = await bodyOf();
    expect(await verdict(body, { now: new Date('2026-01-15T13:00:01Z') })).toBe('evidence_expired');
    expect(await verdict(body, { now: new Date('2026-01-15T09:59:59Z') })).toBe('evidence_expired');
    const bytes = Buffer.from(body.document, 'base64');
    const altered = Buffer.from(bytes);
    altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1;
    expect(await verdict({ document: altered.toString('base64') })).toBe('evidence_signature_invalid');
    expect(await verdict({ document: Buffer.concat([bytes, Buffer.of(0)]).toString('base64') })).toBe('evidence_malformed');
    expect(await verdict({ document: Buffer.alloc(64 << 10).toString('base64') })).toBe('evidence_malformed');
  });
});

describe('the attester', () => {
  /** Asks no hardware: prints a document made beforehand, or what the script says. */
  const withHelper = async <T>(script: string, use: (attester: ReturnType<typeof createNitroAttester>) => Promise<T>): Promise<T> => {
    const folder = await mkdtemp(join(tmpdir(), 'wv-nsm-'));
    try {
      const document = await makeDocument(enclave, { payload: map(...membersOf(enclave, bound)) });
      await writeFile(join(folder, 'document'), document);
      await writeFile(
        join(folder, 'helper.mjs'),
        `import { readFileSync, writeFileSync } from 'node:fs';\nconst folder = ${JSON.stringify(folder)};\n${script}`,
      );
      return await use(createNitroAttester({ command: [process.execPath, join(folder, 'helper.mjs')] }));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };
  const PRINT = 'process.stdout.write(readFileSync(`$' + '{folder}/document`));';

  test('gives the helper user data and nonce, and sends what it printed', async () => {
    const expected = `if (process.env.WV_NONCE !== '${'07'.repeat(32)}' || process.env.WV_USER_DATA.length !== 128) process.exit(3);`;
    const body = await withHelper(`${expected}\n${PRINT}`, (attester) => attester.attest(answeredBinding, answered));
    expect(await verdict({ ...body })).toMatchObject({ kind: 'nitro' });
  });

  test('sends nothing that is for another challenge or key', async () => {
    const other = { ...answered, challengeNonce: new Uint8Array(32) };
    await expect(withHelper(PRINT, (attester) => attester.attest(answeredBinding, other))).rejects.toThrow(
      'does not carry what was asked for',
    );
    await expect(withHelper(PRINT, (attester) => attester.attest(new Uint8Array(9), answered))).rejects.toThrow(
      'does not carry what was asked for',
    );
  });

  test('says what the helper did instead of answering', async () => {
    for (const [script, says] of [
      ['process.exit(4);', 'ended with 4'],
      ["process.stdout.write('hello');", 'printed no attestation document'],
      ["process.stdout.write('x'.repeat(1 << 20));", 'printed more than'],
    ] as const) {
      await expect(withHelper(script, (attester) => attester.attest(answeredBinding, answered))).rejects.toThrow(says);
    }
    const nowhere = createNitroAttester({ command: ['/nowhere/nsm'] });
    await expect(nowhere.attest(answeredBinding, answered)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('cannot be started'),
    });
  });
});
