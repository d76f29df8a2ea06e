/** What others signed becomes reference values only when they did sign it: NVIDIA its RIMs, a builder the states of its images. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { CompactSign } from 'jose';
import { VALUES_TYPE } from '../../src/attestation/jwt/signed-values.ts';
import { readReferences } from '../../src/cli/reference-import.ts';
import { measurementOf, NVIDIA_NOW, rimAuthority, rimRoots, rimText, signRim } from '../attestation/nvidia-device.ts';
import { makeKey } from '../attestation/token-issuer.ts';

const folder = mkdtempSync(join(tmpdir(), 'wv-reference-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, content: string) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

const authority = await rimAuthority();
const trust = { roots: rimRoots(authority), now: NVIDIA_NOW };
const golden = [{ index: 0, values: [measurementOf(1).toString('hex')] }];
const driver = await signRim(rimText(golden, '590.12'), authority);
const vbios = await signRim(rimText(golden, '96.00.a5.00.01'), authority);
const DRIVER = 'NV_GPU_DRIVER_GH100_590.12.xml';
const VBIOS = 'NV_GPU_VBIOS_1010_0200_882_9600A50001.xml';
const refusal = (detail: string) => expect.objectContaining({ code: 'usage', detail: expect.stringContaining(detail) });

describe('RIMs', () => {
  test('become one value of the versions they are about, that names their signer', async () => {
    const model = ['0192f3a4-5b6c-7d8e-9fa0-000000000001'];
    expect(
      await readReferences([file(DRIVER, driver), file(VBIOS, vbios)], { id: 'h100', model, expires: '2027-01-01T00:00:00Z' }, trust),
    ).toEqual([
      {
        id: 'h100',
        kind: 'nvidia-gpu',
        claims: { driverVersion: ['590.12'], vbiosVersion: ['96.00.a5.00.01', '96.00.A5.00.01'] },
        source: 'RIM, signed by CN=HCC RIM L4 Signer',
        models: model,
        expires: '2027-01-01T00:00:00Z',
      },
    ]);
  });

  test('are refused when they are damaged, of another signer, under the name of another, past their dates, or without --id', async () => {
    const read = (name: string, text: string, over: Partial<typeof trust> = {}) =>
      readReferences([file(name, text)], { id: 'h100' }, { ...trust, ...over });
    await expect(read(DRIVER, driver.replace('590.12', '590.13'))).rejects.toEqual(refusal('xml_signature_invalid'));
    await expect(read(DRIVER, await signRim(rimText(golden), await rimAuthority()))).rejects.toEqual(refusal('chain_incomplete'));
    await expect(read('NV_GPU_DRIVER_GH100_570.00.xml', driver)).rejects.toEqual(refusal('its name is not the id'));
    await expect(read(DRIVER, driver, { now: new Date('2030-01-01T00:00:00Z') })).rejects.toEqual(refusal('certificate_expired'));
    await expect(readReferences([file(DRIVER, driver)], {}, trust)).rejects.toEqual(refusal('--id'));
  });
});

describe('values as a JWS', () => {
  const [builder, stranger] = [makeKey('builder'), makeKey('stranger')];
  const signer = file('builder.pem', builder.publicKey.export({ type: 'spki', format: 'pem' }).toString());
  const values = [{ id: 'image-12', kind: 'sev-snp', claims: { measurement: ['ab'.repeat(48)] }, source: 'the builder says: everybody' }];
  const jws = (payload: unknown, by = builder, typ = VALUES_TYPE) =>
    new CompactSign(Buffer.from(JSON.stringify(payload))).setProtectedHeader({ alg: 'ES256', typ }).sign(by.privateKey);

  test('are taken with who signed them, whatever they say of that themselves', async () => {
    const [value, ...more] = await readReferences([file('image.jws', `${await jws({ values })}\n`)], { signer }, trust);
    expect(more).toEqual([]);
    expect(value).toEqual({ ...values[0], source: expect.stringMatching(/^signed by the key [0-9a-f]{64}$/) });
  });

  test('are refused by another key, altered, of another type, without a signer, or when they are no values', async () => {
    const read = (text: string, by: string | undefined = signer) =>
      readReferences([file('image.jws', text)], by === undefined ? {} : { signer: by }, trust);
    const honest = await jws({ values });
    await expect(read(await jws({ values }, stranger))).rejects.toEqual(refusal('not of this signer'));
    await expect(read(honest.replace(/\.(.)/, (_, first) => `.${first === 'e' ? 'f' : 'e'}`))).rejects.toEqual(
      refusal('not of this signer'),
    );
    await expect(read(await jws({ values }, builder, 'JWT'))).rejects.toEqual(refusal('its typ is not'));
    await expect(read(`${Buffer.from('{"alg":"none"}').toString('base64url')}.${honest.split('.')[1]}.`)).rejects.toEqual(
      refusal('not of this signer'),
    );
    await expect(readReferences([file('image.jws', honest)], {}, trust)).rejects.toEqual(refusal('--signer'));
    await expect(read(honest, file('not.pem', 'x'))).rejects.toEqual(refusal('neither a public key'));
    await expect(read(await jws({ values: [{ id: 'x', kind: 'sev-snp', claims: {} }] }))).rejects.toEqual(refusal('not reference values'));
    await expect(read(await jws({ value: [] }))).rejects.toEqual(refusal('no reference values'));
    await expect(read('{"values": []}')).rejects.toEqual(refusal('not of this signer'));
  });
});
