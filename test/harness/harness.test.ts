import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pkcs11js from 'pkcs11js';
import { setupDevelopmentToken } from '../../softhsm/setup.ts';
import { type SoftHsm, startSoftHsm } from './softhsm.ts';
import { type Swtpm, startSwtpm } from './swtpm.ts';

describe('the software TPM', () => {
  let tpm: Swtpm;
  beforeAll(async () => {
    tpm = await startSwtpm();
  });
  afterAll(() => tpm.stop());

  test('carries an endorsement certificate that chains to its own root', async () => {
    const endorsement = new X509Certificate(await tpm.tool('tpm2_nvread', '0x1c00002'));
    const issuer = new X509Certificate(readFileSync(tpm.issuerCertificate));
    const root = new X509Certificate(readFileSync(tpm.rootCertificate));
    expect(endorsement.checkIssued(issuer) && endorsement.verify(issuer.publicKey)).toBe(true);
    expect(issuer.checkIssued(root) && issuer.verify(root.publicKey)).toBe(true);
  });

  test('forgets its PCRs and keeps its certificate over a reboot', async () => {
    const before = await tpm.tool('tpm2_pcrread', 'sha256:7');
    await tpm.tool('tpm2_pcrextend', `7:sha256=${'ab'.repeat(32)}`);
    expect(await tpm.tool('tpm2_pcrread', 'sha256:7')).not.toEqual(before);
    await tpm.reboot();
    expect(await tpm.tool('tpm2_pcrread', 'sha256:7')).toEqual(before);
    expect((await tpm.tool('tpm2_nvread', '0x1c00002')).length).toBeGreaterThan(500);
  });

  test('runs beside others and leaves nothing behind', async () => {
    const others = await Promise.all([startSwtpm(), startSwtpm()]);
    expect(new Set([tpm, ...others].map((each) => each.tcti)).size).toBe(3);
    const pids = others.map((each) => each.pid);
    await Promise.all(others.map((each) => each.stop()));
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    for (const each of others) expect(existsSync(each.folder)).toBe(false);
  });

  test('keeps the identity found in a folder that the caller names', async () => {
    const folder = join(tpm.folder, 'named');
    const first = await startSwtpm(folder);
    const certificate = await first.tool('tpm2_nvread', '0x1c00002');
    await first.stop();
    const second = await startSwtpm(folder);
    expect(await second.tool('tpm2_nvread', '0x1c00002')).toEqual(certificate);
    await second.stop();
  });
});

describe('the development token', () => {
  let hsm: SoftHsm;
  beforeAll(async () => {
    hsm = await startSoftHsm('harness');
  });
  afterAll(() => hsm.remove());

  test('is found by its label in this process and opens with its PIN', () => {
    const module = new pkcs11js.PKCS11();
    module.load(hsm.module);
    module.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK });
    try {
      const slot = module.C_GetSlotList(true).find((each) => module.C_GetTokenInfo(each).label.trim() === 'harness');
      if (slot === undefined) throw new Error('no such token');
      expect(module.C_GetTokenInfo(slot).serialNumber.trim()).toBe(hsm.serial);
      const session = module.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION);
      expect(() => module.C_Login(session, pkcs11js.CKU_USER, `${hsm.pin}x`)).toThrow('CKR_PIN_INCORRECT');
      module.C_Login(session, pkcs11js.CKU_USER, hsm.pin);
    } finally {
      module.C_Finalize();
    }
  });

  test('is refused when the label is taken, and the token there stays as it was', async () => {
    const before = readFileSync(hsm.pinFile, 'utf8');
    await expect(setupDevelopmentToken({ folder: hsm.folder, label: 'harness' })).rejects.toThrow('there already');
    expect(readFileSync(hsm.pinFile, 'utf8')).toBe(before);
  });

  test('is refused when the label could leave the folder', async () => {
    await expect(setupDevelopmentToken({ folder: hsm.folder, label: '../harness' })).rejects.toThrow('must match');
  });

  test('keeps its PINs to their owner', () => {
    expect(statSync(hsm.pinFile).mode & 0o777).toBe(0o600);
    expect(statSync(dirname(hsm.pinFile)).mode & 0o777).toBe(0o700);
  });
});
