/** The offline recovery key: shares that people type in from paper, and the wraps that only its quorum opens. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { fromHex, toHex } from '../../src/domain/bytes.ts';
import type { ModelId, Namespace, VaultId, VersionId } from '../../src/domain/ids.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import { combineShares, formatShare, parseShare, splitSeed } from '../../src/keys/recovery-shares.ts';
import { newRecoveryKey, recoveryKeyOf, recoveryOpener, wrapForRecovery } from '../../src/keys/recovery-wrap.ts';

const context = {
  vaultId: '01a0b1c2-d3e4-7000-8000-000000000001' as VaultId,
  namespace: 'prod' as Namespace,
  modelId: '01a0b1c2-d3e4-7000-8000-000000000002' as ModelId,
  versionId: '01a0b1c2-d3e4-7000-8000-000000000003' as VersionId,
};
const dek = () => new SecretBytes(new Uint8Array(32).fill(7));
const bytesOf = (secret: SecretBytes) => secret.expose((bytes) => [...bytes]);
const codeOf = (work: () => unknown) => {
  try {
    work();
    return 'nothing thrown';
  } catch (error) {
    return (error as { code?: string }).code;
  }
};
const refused = (work: Promise<unknown>, code: string) => expect(work).rejects.toMatchObject({ code });
const made = async (of = 5, needed = 3) => {
  const key = await newRecoveryKey();
  return { ...key, texts: await splitSeed(key.seed, key.keyId, { of, needed }) };
};

describe('the vectors, which another program made', () => {
  const vectors = JSON.parse(readFileSync(new URL('../vectors/keys/recovery.json', import.meta.url), 'utf8'));
  const seed = () => new SecretBytes(fromHex(vectors.seed));

  test('any three of their shares give the seed, which leads to their key, which opens their wrap', async () => {
    const shares = (vectors.shares as string[]).map(parseShare);
    expect(shares.map(formatShare)).toEqual(vectors.shares);
    for (const three of [shares.slice(0, 3), shares.slice(2), [shares[4], shares[0], shares[2]] as typeof shares]) {
      expect(bytesOf(await combineShares(three))).toEqual(bytesOf(seed()));
    }
    expect(await recoveryKeyOf(seed())).toEqual({ keyId: vectors.keyId, publicKey: fromHex(vectors.publicKey) });
    const opened = await (await recoveryOpener(seed()))(fromHex(vectors.wrap), vectors.context);
    expect(toHex(Uint8Array.from(bytesOf(opened)))).toBe(vectors.dek);
  });

  test('docs/formats/recovery.md shows the second share', () => {
    const page = readFileSync(new URL('../../docs/formats/recovery.md', import.meta.url), 'utf8');
    expect(page).toContain(`\`\`\`\n${vectors.shares[1]}\`\`\``);
  });
});

describe('shares', () => {
  test('any three of five give the seed back, in any order; two do not, nor does one twice', async () => {
    const { seed, texts } = await made();
    const shares = texts.map(parseShare);
    for (let a = 0; a < 5; a++) {
      for (let b = a + 1; b < 5; b++) {
        const two = [shares[b], shares[a]] as typeof shares;
        await refused(combineShares(two), 'recovery_shares_too_few');
        await refused(combineShares([...two, ...two]), 'recovery_shares_too_few');
        for (let c = b + 1; c < 5; c++) expect(bytesOf(await combineShares([...two, shares[c]] as typeof shares))).toEqual(bytesOf(seed));
      }
    }
    expect(bytesOf(await combineShares(shares))).toEqual(bytesOf(seed));
    await refused(combineShares([]), 'recovery_shares_too_few');
  });

  test('a share that says it needs fewer gives nothing: the key it leads to is not the one it names', async () => {
    const { texts } = await made();
    const lying = texts.slice(0, 2).map((text) => parseShare(formatShare({ ...parseShare(text), needed: 2 })));
    await refused(combineShares(lying), 'recovery_share_invalid');
  });

  test('one of another key, or one altered with its check made to fit, gives nothing', async () => {
    const [ours, theirs] = [await made(), await made()];
    const [one, two, three] = ours.texts.map(parseShare);
    if (one === undefined || two === undefined || three === undefined) throw new Error('five shares');
    await refused(combineShares([one, two, parseShare(theirs.texts[2] ?? '')]), 'recovery_share_invalid');
    const altered = { ...three, bytes: three.bytes.map((byte, at) => (at === 5 ? byte ^ 1 : byte)) };
    await refused(combineShares([one, two, parseShare(formatShare(altered))]), 'recovery_share_invalid');
  });

  test('are read as people type them: case, spacing, 0 1 8 for O I B; every single wrong character is noticed', async () => {
    const { texts } = await made();
    const text = texts[0] ?? '';
    const typed = text.toLowerCase().replaceAll('o', '0').replace('weight-vault rec0very share', 'weight-vault recovery share');
    const same = text
      .split('\n')
      .map((line, at) => (at < 3 ? line : line.toLowerCase().replaceAll('b', '8').replaceAll(' ', '  ')))
      .join('\n\n');
    expect(parseShare(same.replace('CHECK', 'check'))).toEqual(parseShare(text));
    expect(typed).not.toBe(text);
    const from = text.indexOf('\n', text.indexOf('needed')) + 1;
    for (let at = from; at < text.length; at++) {
      if (!/[A-Z2-7]/.test(text[at] ?? '')) continue;
      const wrong = text.slice(0, at) + (text[at] === 'Q' ? 'R' : 'Q') + text.slice(at + 1);
      expect(codeOf(() => parseShare(wrong))).toBe('recovery_share_invalid');
    }
  });

  test.each([
    '',
    'weight-vault recovery share v2',
    'x'.repeat(5000),
    'weight-vault recovery share v1\nrecovery key zz\nshare 1 of 2, 2 needed\nAAAA\ncheck AAAA',
  ])('what is no share is refused', (text) => expect(codeOf(() => parseShare(text))).toBe('recovery_share_invalid'));

  test('any text is a share or refused', () => {
    fc.assert(fc.property(fc.string(), (text) => ['recovery_share_invalid'].includes(String(codeOf(() => parseShare(text))))));
  });

  test.each([
    [1, 1],
    [5, 1],
    [5, 6],
    [17, 3],
    [2.5, 2],
    [Number.NaN, 2],
  ])('%p shares of which %p are needed make no sense', async (of, needed) => {
    const { seed, keyId } = await newRecoveryKey();
    await refused(splitSeed(seed, keyId, { of, needed }), 'usage');
  });
});

describe('a recovery wrap', () => {
  test('opens with the seed, and the key is the one that was published', async () => {
    const { seed, keyId, publicKey } = await newRecoveryKey();
    expect(await recoveryKeyOf(seed)).toEqual({ keyId, publicKey });
    const wrapped = await wrapForRecovery(dek(), { keyId, publicKey }, context);
    expect(wrapped).toHaveLength(80);
    expect(bytesOf(await (await recoveryOpener(seed))(wrapped, context))).toEqual(bytesOf(dek()));
    expect(await wrapForRecovery(dek(), { keyId, publicKey }, context)).not.toEqual(wrapped);
  });

  test('opens for no other version, model, namespace or vault, with no other seed, and not with a byte altered, cut or added', async () => {
    const { seed, ...key } = await newRecoveryKey();
    const wrapped = await wrapForRecovery(dek(), key, context);
    const open = await recoveryOpener(seed);
    const other = '01a0b1c2-d3e4-7000-8000-00000000000f' as never;
    for (const wrong of [{ versionId: other }, { modelId: other }, { namespace: 'dev' as Namespace }, { vaultId: other }]) {
      await refused(open(wrapped, { ...context, ...wrong }), 'key_unwrap_refused');
    }
    await refused((await recoveryOpener((await newRecoveryKey()).seed))(wrapped, context), 'key_unwrap_refused');
    for (let at = 0; at < wrapped.length; at += 7) {
      await refused(
        open(
          wrapped.map((byte, other) => (other === at ? byte ^ 1 : byte)),
          context,
        ),
        'key_unwrap_refused',
      );
    }
    for (const bytes of [wrapped.slice(1), wrapped.slice(0, -1), Uint8Array.from([...wrapped, 0]), new Uint8Array(0)]) {
      await refused(open(bytes, context), 'key_unwrap_refused');
    }
  });
});
