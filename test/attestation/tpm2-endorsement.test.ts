import { beforeAll, describe, expect, test } from '@jest/globals';
import { verifyEndorsement } from '../../src/attestation/tpm2/endorsement.ts';
import { ATTRIBUTES, type PublicArea, parsePublicArea } from '../../src/attestation/tpm2/public-area.ts';
import { equalBytes, fromBase64, toBase64 } from '../../src/domain/bytes.ts';
import { isRefusal, type Tpm2Anchor } from '../../src/domain/evidence.ts';
import { captured, root } from './samples.ts';
import * as make from './test-ca.ts';

const ekPublic = parsePublicArea(fromBase64(captured.enrolment.ekPublic));
const now = new Date('2030-01-01T00:00:00Z');
const EK_USE = make.usage('2.23.133.8.1');
const ekExtensions = [make.notCa, EK_USE, make.deviceName];

let anchorCa: make.Issued;
let middle: make.Issued;
let leaf: make.Issued;
let ekKey: Awaited<ReturnType<typeof make.importRsa>>;
let anchors: Tpm2Anchor[];

beforeAll(async () => {
  ekKey = await make.importRsa(ekPublic.key.export({ type: 'spki', format: 'der' }));
  anchorCa = await make.issue({ name: 'Root' });
  middle = await make.issue({ name: 'Middle', issuer: anchorCa });
  leaf = await ekLeaf({ issuer: middle });
  anchors = [anchorOf(anchorCa)];
});

describe('a path to an anchor of ours', () => {
  test("leads from a software TPM's certificate through its issuer to its root", () => {
    const found = verifyEndorsement({
      certificate: fromBase64(captured.enrolment.ekCertificate),
      intermediates: captured.enrolment.ekIntermediates.map(fromBase64),
      ekPublic,
      anchors: [anchorOf(anchorCa), root],
      now: new Date(captured.at),
    });
    if (isRefusal(found)) throw new Error(found.detail);
    expect(found.anchor).toBe(root);
    expect(found.path.length).toBe(3);
  });

  test('is found whatever the order and the company of the intermediates', async () => {
    const others = [await make.issue({ name: 'Other' }), await make.issue({ name: 'Middle' }), anchorCa];
    const found = attempt({ intermediates: [...others, middle] });
    if (isRefusal(found)) throw new Error(found.detail);
    expect(found.path.every((der, at) => equalBytes(der, [leaf, middle, anchorCa][at]?.der ?? new Uint8Array()))).toBe(true);
  });

  test('may be direct, and an anchor need not be self-signed', async () => {
    expect(isRefusal(attempt({ certificate: await ekLeaf({ issuer: anchorCa }), intermediates: [] }))).toBe(false);
    expect(isRefusal(attempt({ intermediates: [], anchors: [anchorOf(middle)] }))).toBe(false);
  });

  test('needs no extended key usage in the certificate', async () => {
    expect(isRefusal(attempt({ certificate: await ekLeaf({ issuer: middle, extensions: [make.notCa] }) }))).toBe(false);
  });
});

describe('is refused', () => {
  test('without any anchor, or with anchors of another kind', () => {
    expectRefused({ anchors: [] }, 'no trust anchor');
    expectRefused({ anchors: anchors.map((anchor) => ({ ...anchor, kind: 'nitro' as 'tpm2' })) }, 'no trust anchor');
  });
  test('when the chain leads to another root', async () =>
    expectRefused({ anchors: [anchorOf(await make.issue({ name: 'Stranger' }))] }, 'no valid path'));
  test('when the root is a lookalike with the same subject', async () => {
    const lookalike = await make.issue({ name: 'Root' });
    const false_ = await make.issue({ name: 'Middle', issuer: lookalike });
    expectRefused({ certificate: await ekLeaf({ issuer: false_ }), intermediates: [false_, lookalike] }, 'no valid path');
  });
  test('when the intermediate is missing, or another of the same name', async () => {
    expectRefused({ intermediates: [] }, 'no valid path');
    expectRefused({ intermediates: [await make.issue({ name: 'Middle', issuer: anchorCa })] }, 'no valid path');
  });
  test('when there are more intermediates than allowed', () =>
    expectRefused({ intermediates: [middle, middle, middle, middle, middle] }, 'more than 4'));
  test('when the intermediate is no certificate authority', async () => {
    for (const extensions of [[], [make.notCa], [make.ca(), make.digitalSignature], [make.certSign]]) {
      const weak = await make.issue({ name: 'Weak', issuer: anchorCa, extensions });
      expectRefused({ certificate: await ekLeaf({ issuer: weak }), intermediates: [weak] }, 'no valid path');
    }
  });
  test('when the path is longer than a certificate authority allows', async () => {
    const short = await make.issue({ name: 'Short', extensions: [make.ca(0), make.certSign] });
    const below = await make.issue({ name: 'Below', issuer: short });
    const certificate = await ekLeaf({ issuer: below });
    expectRefused({ certificate, intermediates: [below], anchors: [anchorOf(short)] }, 'no valid path');
    expect(isRefusal(attempt({ certificate: await ekLeaf({ issuer: short }), intermediates: [], anchors: [anchorOf(short)] }))).toBe(false);
  });
  test('when any certificate is expired or not yet valid, the anchor included', async () => {
    const dates = [{ notAfter: new Date('2029-12-31T23:59:59Z') }, { notBefore: new Date('2030-01-01T00:00:01Z') }];
    for (const wrong of dates) {
      expectRefused({ certificate: await ekLeaf({ issuer: middle, ...wrong }) }, 'expired or not yet valid');
      const oldMiddle = await make.issue({ name: 'Middle', issuer: anchorCa, ...wrong });
      expectRefused({ certificate: await ekLeaf({ issuer: oldMiddle }), intermediates: [oldMiddle] }, 'no valid path');
      const oldRoot = await make.issue({ name: 'Old', ...wrong });
      expectRefused({ certificate: await ekLeaf({ issuer: oldRoot }), intermediates: [], anchors: [anchorOf(oldRoot)] }, 'no valid path');
    }
  });
  test('when a certificate is signed over SHA-1', async () => {
    expectRefused({ certificate: await ekLeaf({ issuer: middle, hash: 'SHA-1' }) }, 'no valid path');
  });
  test('when the certificate is for another use', async () => {
    const extensions = [make.notCa, make.usage('1.3.6.1.5.5.7.3.1')];
    expectRefused({ certificate: await ekLeaf({ issuer: middle, extensions }) }, 'not for an endorsement key');
  });
  test('when the certificate is itself an authority', async () => {
    expectRefused({ certificate: await ekLeaf({ issuer: middle, extensions: [make.ca(), make.certSign] }) }, 'certificate authority');
  });
  test('when a critical extension is unknown, or one comes twice', async () => {
    const unknown = await ekLeaf({ issuer: middle, extensions: [...ekExtensions, make.unknownCritical] });
    expectRefused({ certificate: unknown }, '1.2.3.4.5');
    expectRefused({ certificate: await ekLeaf({ issuer: middle, extensions: [make.notCa, make.ca()] }) }, 'twice');
  });
  test('when the certificate is about another key', async () => {
    expectRefused({ certificate: await make.issue({ name: 'EK', issuer: middle, extensions: ekExtensions }) }, 'another key');
  });
  test('when the key is not an endorsement key', () => {
    for (const name of ['fixedTPM', 'fixedParent', 'restricted', 'decrypt'] as const) {
      expectRefused({ ekPublic: { ...ekPublic, attributes: ekPublic.attributes & ~ATTRIBUTES[name] } }, 'must be fixedTPM');
    }
    expectRefused({ ekPublic: { ...ekPublic, attributes: ekPublic.attributes | ATTRIBUTES.sign } }, 'must be fixedTPM');
  });
  test('when a certificate is cut, has bytes behind it, is too big or is PEM', () => {
    const pem = Buffer.from(`-----BEGIN CERTIFICATE-----\n${toBase64(leaf.der)}\n-----END CERTIFICATE-----\n`);
    for (const der of [leaf.der.slice(0, -1), Uint8Array.from([...leaf.der, 0]), new Uint8Array(9000), pem, new Uint8Array(0)]) {
      expectRefused({ certificate: { ...leaf, der: new Uint8Array(der) } }, 'the endorsement certificate');
      expectRefused({ intermediates: [{ ...middle, der: new Uint8Array(der) }] }, 'intermediate certificate 0');
    }
  });
  test('when one byte of the certificate changed, wherever it stands', () => {
    for (let i = 0; i < leaf.der.length; i += 3) {
      const der = Uint8Array.from(leaf.der, (byte, at) => (at === i ? byte ^ 1 : byte));
      expect([i, isRefusal(attempt({ certificate: { ...leaf, der } }))]).toEqual([i, true]);
    }
  }); // about 200 certificates, each read by two parsers
});

test('an anchor of ours that cannot be read is an error, not a refusal', () => {
  expect(() => attempt({ anchors: [{ kind: 'tpm2', name: 'broken', certificate: 'AAAA' }] })).toThrow('document_invalid');
  expect(() => attempt({ anchors: [{ kind: 'tpm2', name: 'broken', certificate: '%' }] })).toThrow('document_invalid');
});

function anchorOf({ name, der }: make.Issued): Tpm2Anchor {
  return { kind: 'tpm2', name, certificate: toBase64(der) };
}

function ekLeaf(wishes: Omit<make.CertificateWishes, 'name'>): Promise<make.Issued> {
  return make.issue({ name: 'EK', publicKey: ekKey, extensions: ekExtensions, ...wishes });
}

interface Change {
  readonly certificate?: make.Issued;
  readonly intermediates?: readonly make.Issued[];
  readonly anchors?: readonly Tpm2Anchor[];
  readonly ekPublic?: PublicArea;
}

function attempt(change: Change) {
  const intermediates = (change.intermediates ?? [middle]).map(({ der }) => der);
  const certificate = (change.certificate ?? leaf).der;
  return verifyEndorsement({ certificate, intermediates, ekPublic: change.ekPublic ?? ekPublic, anchors: change.anchors ?? anchors, now });
}

function expectRefused(change: Change, detail: string): void {
  const answer = attempt(change);
  expect(isRefusal(answer) && answer).toMatchObject({ code: 'endorsement_untrusted', detail: expect.stringContaining(detail) });
}
