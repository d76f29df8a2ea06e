/** RIMs of NVIDIA: who signed them, what they say, and whether a report agrees. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ExaminationInputs } from '../../src/attestation/examination.ts';
import { compareWithRims } from '../../src/attestation/nvidia-gpu/compare-rims.ts';
import { examineNvidiaRim } from '../../src/attestation/nvidia-gpu/examine-rim.ts';
import { factsOf } from '../../src/attestation/nvidia-gpu/opaque.ts';
import { readReport } from '../../src/attestation/nvidia-gpu/report.ts';
import type { Rim } from '../../src/attestation/nvidia-gpu/rim.ts';
import { acceptsNoFlippedBit, hostileBytes } from './damaged-evidence.ts';
import {
  block,
  buildDevice,
  type GoldenWishes,
  makeReport,
  measurementOf,
  NVIDIA_NOW,
  OPAQUE,
  opaqueField,
  rimAuthority,
  rimRoots,
  rimText,
  signRim,
} from './nvidia-device.ts';
import { agreesOnEverySharedEntry, describeShared, inputsOf, sharedEntries } from './shared-evidence.ts';
import { TwinsMemo } from './twins-memo.ts';

agreesOnEverySharedEntry('nvidia-rim-xml', examineNvidiaRim);

const signers = await rimAuthority();
const golden = (index: number): GoldenWishes => ({ index: index - 1, values: [measurementOf(index).toString('hex')] });
const xml = rimText([1, 2, 3].map(golden));
const signed = await signRim(xml, signers);

const inputs = (text: string | Uint8Array, change: Partial<ExaminationInputs> = {}): ExaminationInputs => ({
  evidence: typeof text === 'string' ? new Uint8Array(Buffer.from(text)) : text,
  companions: {},
  parameters: {},
  roots: rimRoots(signers),
  now: NVIDIA_NOW,
  ...change,
});
const reasonsOf = (text: string | Uint8Array, change: Partial<ExaminationInputs> = {}) => examineNvidiaRim(inputs(text, change)).reasons;

describe('a RIM of our own vendor', () => {
  test('is authentic, and what it says is read from the signed text', () => {
    expect(examineNvidiaRim(inputs(signed))).toMatchObject({
      valid: true,
      accept: true,
      reasons: [],
      claims: { rim_id: 'GH100', rim_version: '590.12', measurement_entries: 3, signer: 'CN=HCC RIM L4 Signer' },
      rim: { id: 'GH100', version: '590.12', measurements: [{ index: 1, isActive: true }, { index: 2 }, { index: 3 }] },
    });
  });

  test('may carry comments, which are not signed and not read', () => {
    expect(reasonsOf(signed.replace('<ns0:Payload>', '<ns0:Payload><!-- Hash0="00" -->'))).toEqual([]);
  });

  test('is refused when one digit of a measurement, the version or a flag is another', () => {
    const first = measurementOf(1).toString('hex');
    for (const [from, to] of [
      [first, `${first.slice(0, -1)}${first.endsWith('0') ? '1' : '0'}`],
      ['590.12', '590.13'],
      ['active="True"', 'active="False"'],
      ['index="2"', 'index="9"'],
    ] as const) {
      expect(signed).toContain(from);
      expect(examineNvidiaRim(inputs(signed.replace(from, to)))).toMatchObject({ valid: false, reasons: ['xml_signature_invalid'] });
    }
  });

  test('is refused outside its signer’s two years', () => {
    expect(reasonsOf(signed, { now: new Date('2027-01-01T00:00:01Z') })).toEqual(['certificate_expired']);
    expect(reasonsOf(signed, { now: new Date('2024-12-31T23:59:59Z') })).toEqual(['certificate_not_yet_valid']);
  });

  test('is refused without a whole chain to the pinned root', async () => {
    const [signer, middle, root] = signers;
    if (!signer || !middle || !root) throw new Error('three certificates');
    expect(reasonsOf(await signRim(xml, [signer, root]))).toEqual(['chain_incomplete']);
    expect(reasonsOf(await signRim(xml, [signer, middle]))).toEqual(['chain_incomplete']);
    expect(reasonsOf(await signRim(xml, [signer]))).toEqual(['chain_incomplete']);
    expect(reasonsOf(signed, { roots: [] })).toEqual(['chain_incomplete']);
    const others = await rimAuthority();
    expect(reasonsOf(await signRim(xml, others))).toEqual(['chain_incomplete']);
    // Somebody else's signature under the true chain.
    const [impostor = signer] = others;
    const forged = (await signRim(xml, [{ ...signer, keys: impostor.keys }, middle, root])) as string;
    expect(reasonsOf(forged)).toEqual(['xml_signature_invalid']);
  });
});

describe('signature wrapping and other tricks with XML', () => {
  const signature = /<ds:Signature[\s\S]*<\/ds:Signature>/.exec(signed)?.[0] ?? '';
  const refused = (text: string) => {
    const examined = examineNvidiaRim(inputs(text));
    expect(examined).toMatchObject({ valid: false, accept: false });
    expect(examined.rim).toBeUndefined();
    return examined.reasons;
  };

  test('the signed document inside another one is not what is read', () => {
    const evil = rimText([{ index: 0, values: ['ee'.repeat(48)] }]);
    expect(refused(evil.replace('</SoftwareIdentity>', `${signed}</SoftwareIdentity>`))).toContain('malformed');
    expect(refused(evil.replace('</SoftwareIdentity>', `${signature}</SoftwareIdentity>`))).toEqual(['xml_signature_invalid']);
  });

  test('two signatures, one at another place, or none are malformed', () => {
    for (const text of [
      signed.replace(signature, signature + signature),
      signed.replace(signature, '').replace('</ns0:Payload>', `${signature}</ns0:Payload>`),
      xml,
      signed.replace('<ds:SignedInfo>', '<ds:SignedInfo/><ds:SignedInfo>'),
      signed.replace('<ds:KeyInfo>', '<ds:Object/><ds:KeyInfo>'),
      signed.replace('<ds:X509Data>', '<ds:KeyValue/><ds:X509Data>'),
    ]) {
      expect(refused(text)).toEqual(['malformed', 'xml_signature_invalid']);
    }
  });

  test('another algorithm, transform or reference is another shape', () => {
    for (const [from, to] of [
      ['2001/04/xmldsig-more#ecdsa-sha384', '2001/04/xmldsig-more#rsa-sha256'],
      ['2001/04/xmldsig-more#ecdsa-sha384', '2000/09/xmldsig#hmac-sha1'],
      ['2001/04/xmldsig-more#sha384', '2000/09/xmldsig#sha1'],
      ['2006/12/xml-c14n11', '2001/10/xml-exc-c14n#'],
      ['xmldsig#enveloped-signature', 'REC-xpath-19991116'],
      ['URI=""', 'URI="#t"'],
      ['URI=""', 'URI="file:///etc/passwd"'],
      ['URI=""', ''],
      ['<ds:SignedInfo>', '<ds:SignedInfo Id="x">'],
    ] as const) {
      expect(signed).toContain(from);
      expect(refused(signed.replace(from, to))).toEqual(['malformed', 'xml_signature_invalid']);
    }
  });

  test('entities, document types and processing instructions are not read', () => {
    const bomb = '<!DOCTYPE a [<!ENTITY b "aaaaaaaaaa"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>';
    const outside = '<!DOCTYPE a SYSTEM "file:///etc/passwd">';
    for (const text of [bomb + signed, outside + signed, `<?xml-stylesheet href="x"?>${signed}`, signed.replace('590.12', '&c;')]) {
      expect(refused(text)).toEqual(['malformed', 'xml_signature_invalid']);
    }
  });

  test('too long, too deep, too many or no XML at all', () => {
    const nested = '<a>'.repeat(5000);
    for (const text of [
      '',
      ' ',
      'x',
      nested,
      `<a>${'<b/>'.repeat(5000)}</a>`,
      signed + ' '.repeat(1 << 19),
      `${signed}<b/>`,
      `${signed}x`,
    ]) {
      expect(refused(text)).toEqual(['malformed', 'xml_signature_invalid']);
    }
    expect(reasonsOf(new Uint8Array([0xff, 0xfe, 0x3c]))).toEqual(['malformed', 'xml_signature_invalid']);
  });

  test('a certificate in a second spelling is none', () => {
    for (const text of [
      signed.replace('<ds:X509Certificate>', '<ds:X509Certificate>='),
      signed.replace('<ds:X509Certificate>', '<ds:X509Certificate>AAAA'),
      signed.replace(/<ds:SignatureValue>./, '<ds:SignatureValue>-'),
    ]) {
      expect(refused(text)).toContain('xml_signature_invalid');
    }
    expect(reasonsOf(signed.replace('<ds:X509Certificate>', '<ds:X509Certificate>\r\n'))).toEqual([]);
  });

  test('what a signed RIM must say', async () => {
    const wrong = [
      rimText([]),
      rimText([golden(1), golden(1)]),
      rimText([{ index: 0, values: ['zz'.repeat(48)] }]),
      rimText([{ index: 0, values: ['00'.repeat(32)] }]),
      rimText([{ index: 300, values: ['00'.repeat(48)] }]),
      rimText([golden(1)]).replace('alternatives="1"', 'alternatives="2"'),
      rimText([golden(1)]).replace('alternatives="1"', 'alternatives="0"'),
      rimText([golden(1)]).replace('alternatives="1"', 'alternatives="1000000"'),
      rimText([golden(1)]).replace('type="Measurement"', 'type="Other"'),
      rimText([golden(1)]).replace('colloquialVersion="590.12"', ''),
      rimText([golden(1)]).replace('<ns0:Payload>', '<ns0:Payload/><ns0:Payload>'),
      rimText([golden(1)]).replaceAll('SoftwareIdentity', 'Identity'),
    ];
    for (const text of wrong) expect(reasonsOf(await signRim(text, signers))).toEqual(['malformed', 'xml_signature_invalid']);
  });
});

describe('a report held against RIMs', () => {
  const rimOf = async (entries: readonly GoldenWishes[], version?: string): Promise<Rim> => {
    const { rim } = examineNvidiaRim(inputs(await signRim(rimText(entries, version), signers)));
    if (rim === undefined) throw new Error('our own RIM');
    return rim;
  };
  const reportOf = async (opaque = OPAQUE) => {
    const report = readReport(await makeReport(await buildDevice(), { opaque, blocks: [1, 2, 3, 36].map((index) => block(index)) }));
    return [report, factsOf(report.opaque)] as const;
  };
  const other = { values: ['ee'.repeat(48)] };

  test('agrees when each active entry of either has the measured value among its alternatives', async () => {
    const driver = await rimOf([golden(1), { index: 1, ...other, active: false }]);
    const vbios = await rimOf([{ index: 1, values: [...other.values, ...golden(2).values] }], '96.00.A5.00.01');
    expect(compareWithRims(...(await reportOf()), [driver, vbios])).toEqual({ isMeaningful: true, wrong: [] });
  });

  test('names every index that differs, is missing, or that both claim', async () => {
    const driver = await rimOf([golden(1), { index: 2, ...other }, golden(7)]);
    const vbios = await rimOf([golden(1), golden(2)], '96.00.A5.00.01');
    expect(compareWithRims(...(await reportOf()), [driver, vbios])).toEqual({ isMeaningful: true, wrong: [1, 3, 7] });
  });

  test('proves nothing when no entry is active, or there is no RIM', async () => {
    const idle = await rimOf([{ ...golden(1), active: false }]);
    for (const rims of [[], [idle]]) expect(compareWithRims(...(await reportOf()), rims)).toMatchObject({ isMeaningful: false });
  });

  test('asks about the video decoder only while it is on', async () => {
    const rim = await rimOf([golden(1), { index: 35, ...other }]);
    const decoder = (value: number) => [...OPAQUE.filter((field) => field[0] !== 11), opaqueField(11, Buffer.of(value))];
    expect(compareWithRims(...(await reportOf(decoder(0x55))), [rim]).wrong).toEqual([]);
    expect(compareWithRims(...(await reportOf(decoder(0xaa))), [rim]).wrong).toEqual([36]);
    expect(compareWithRims(...(await reportOf(decoder(0x00))), [rim]).wrong).toEqual([36]);
  });
});

describeShared('real reports held against real RIMs', () => {
  const rimNamed = (part: string) => {
    const entry = sharedEntries('nvidia-rim-xml').find(({ id, expected }) => id.includes(part) && expected.valid);
    const { rim } = entry === undefined ? {} : examineNvidiaRim(inputsOf(entry));
    if (rim === undefined) throw new Error(part);
    return rim;
  };
  const compared = (id: string, rim: Rim) => {
    const entry = sharedEntries('nvidia-spdm').find((one) => one.id === id);
    if (entry === undefined) throw new Error(id);
    const report = readReport(inputsOf(entry).evidence);
    return compareWithRims(report, factsOf(report.opaque), [rim]);
  };

  test('a switch agrees with the RIM of its BIOS in all 31 measurements', () => {
    const rim = rimNamed('NV_SWITCH_BIOS');
    expect(rim.measurements.filter(({ isActive }) => isActive)).toHaveLength(31);
    expect(compared('nvidia/nvswitch-ls10', rim)).toEqual({ isMeaningful: true, wrong: [] });
  });

  test('a GPU with another driver than the RIM’s differs where drivers differ', () => {
    expect(compared('nvidia/h100-550-chain-case1', rimNamed('550.144.03'))).toEqual({ isMeaningful: true, wrong: [8, 23, 32, 40, 41] });
  });
});

describe('damage', () => {
  const bytes = new Uint8Array(Buffer.from(signed));

  test('no flipped bit of our own RIM is accepted', async () => {
    const memo = new TwinsMemo();
    await acceptsNoFlippedBit(bytes, 1, (evidence) => examineNvidiaRim(inputs(evidence), memo), 11);
  });

  test('any bytes get an answer and never an exception', () => {
    fc.assert(
      fc.property(hostileBytes(bytes), (evidence) => {
        const { accept, rim } = examineNvidiaRim(inputs(evidence));
        // Whatever is accepted says what was signed: white space between parts of the signature may differ, what is read may not.
        if (accept) expect(rim).toEqual(examineNvidiaRim(inputs(bytes)).rim);
      }),
      { numRuns: 150 },
    );
  });
});
