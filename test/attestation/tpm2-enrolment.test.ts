import { describe, expect, test } from '@jest/globals';
import { beginActivation, type EnrolmentRequest, parseEnrolmentRequest } from '../../src/attestation/tpm2/enrolment.ts';
import { parsePcrTable, selectionText } from '../../src/attestation/tpm2/pcr-text.ts';
import { fromBase64, sha256Hex, toBase64 } from '../../src/domain/bytes.ts';
import { codeOf } from '../../src/domain/errors.ts';
import { isRefusal } from '../../src/domain/evidence.ts';
import { at, captured, root } from './samples.ts';

const request = captured.enrolment;
const trust = { anchors: [root], now: at };
const begin = (change: Partial<EnrolmentRequest>, anchors = trust.anchors) =>
  beginActivation({ ...request, ...change }, { ...trust, anchors });
const refusalOf = (change: Partial<EnrolmentRequest>) => {
  const answer = begin(change);
  return isRefusal(answer) ? answer.code : 'begun';
};

describe('an enrolment request', () => {
  test('is read as it was written', () => expect(parseEnrolmentRequest(JSON.parse(JSON.stringify(request)))).toEqual(request));

  const wrong: ReadonlyArray<readonly [string, unknown]> = [
    ['nothing', undefined],
    ['a list', []],
    ['another version', { ...request, v: 2 }],
    ['the version as text', { ...request, v: '1' }],
    ['another kind', { ...request, kind: 'tpm1' }],
    ['an unknown member', { ...request, note: '' }],
    ['five intermediates', { ...request, ekIntermediates: Array(5).fill(request.ekCertificate) }],
    ['an intermediate that is no base64', { ...request, ekIntermediates: ['%%%%'] }],
    ['a certificate too big', { ...request, ekCertificate: toBase64(new Uint8Array(9000)) }],
    ['a key too big', { ...request, akPublic: toBase64(new Uint8Array(2000)) }],
    ['base64 with a line break', { ...request, ekPublic: `${request.ekPublic}\n` }],
    ...Object.keys(request).map((member) => [`no ${member}`, { ...request, [member]: undefined }] as const),
  ];
  test.each(wrong)('is refused with %s', (_name, value) => {
    expect(catchCode(() => parseEnrolmentRequest(value))).toBe('request_invalid');
  });
});

describe('beginning an activation', () => {
  test('gives a credential for exactly this pair of keys, and a secret nobody can print', () => {
    const activation = begin({});
    if (isRefusal(activation)) throw new Error(activation.detail);
    using secret = activation.secret;
    expect(secret.length).toBe(32);
    expect(JSON.stringify(activation)).toContain('[secret]');
    expect(captured.enrolledAkNames).toContain(activation.akName);
    expect(activation.ekCertificateDigest).toBe(sha256Hex(fromBase64(request.ekCertificate)));
    expect(fromBase64(activation.credential.idObject).length).toBe(70); // 2 + 2 + 32 (MAC) + 2 + 32 (secret)
    expect(fromBase64(activation.credential.secret).length).toBe(258); // 2 + one RSA-2048 block
  });

  test('never gives the same secret or credential twice', () => {
    const [a, b] = [begin({}), begin({})];
    if (isRefusal(a) || isRefusal(b)) throw new Error('refused');
    expect(a.secret.equals(b.secret)).toBe(false);
    expect(a.credential.idObject).not.toBe(b.credential.idObject);
    expect(a.credential.secret).not.toBe(b.credential.secret);
  });

  test('is refused for a key that a quote would be refused for', () => {
    const unsuitable = captured.damaged.filter(({ code }) => code === 'attester_key_unsuitable');
    expect(unsuitable.length).toBe(2);
    for (const { body } of unsuitable) expect(refusalOf({ akPublic: String(body['akPublic']) })).toBe('attester_key_unsuitable');
    expect(refusalOf({ akPublic: request.ekPublic })).toBe('attester_key_unsuitable');
  });

  test('is refused when the certificate is about another key, or leads nowhere', () => {
    expect(refusalOf({ ekPublic: captured.genuine.rsa.akPublic })).toBe('endorsement_untrusted');
    expect(refusalOf({ ekIntermediates: [] })).toBe('endorsement_untrusted');
    expect(refusalOf({ ekCertificate: request.ekIntermediates[0] ?? '' })).toBe('endorsement_untrusted');
    const none = begin({}, []);
    expect(isRefusal(none) && none.code).toBe('endorsement_untrusted');
  });

  test('is refused when a key is cut or has bytes behind it', () => {
    for (const member of ['ekPublic', 'akPublic'] as const) {
      const bytes = fromBase64(request[member]);
      expect(refusalOf({ [member]: toBase64(bytes.slice(0, -1)) })).toBe('request_invalid');
      expect(refusalOf({ [member]: toBase64(Uint8Array.from([...bytes, 0])) })).toBe('request_invalid');
    }
  });
});

describe('PCR lists of tpm2-tools', () => {
  test('are written in one form', () => {
    expect(selectionText({ sha256: [7, 0, 16], sha384: [1] })).toBe('sha256:0,7,16+sha384:1');
  });
  test.each([{}, { sha256: [] }, { sha256: [24] }, { sha256: [-1] }, { sha256: [1.5] }, { sha256: [1, 1] }, { md5: [1] }])(
    'refuse the choice %j',
    (choice) => {
      expect(() => selectionText(choice)).toThrow();
    },
  );
  test('are read back, without banks that the TPM does not keep', () => {
    const text = `  sha256:\n    0 : 0x${'AB'.repeat(32)}\n    16: 0x${'00'.repeat(32)}\n  sha384:\n`;
    expect(parsePcrTable(text)).toEqual({ sha256: { '0': 'ab'.repeat(32), '16': '00'.repeat(32) } });
  });
  test.each(['garbage', '    0 : 0x00', '  md5:\n    0 : 0x00'])('are not guessed at: %j', (text) => {
    expect(() => parsePcrTable(text)).toThrow('does not know');
  });
});

function catchCode(act: () => unknown): string {
  try {
    act();
    return 'nothing thrown';
  } catch (error) {
    return codeOf(error);
  }
}
