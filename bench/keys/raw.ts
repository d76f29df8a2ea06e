/** The peer of the keeper: pkcs11js in a loop, in a process of its own, on one open session and a key it looked up once. Prints operations a second. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import pkcs11js from 'pkcs11js';

interface Order {
  readonly module: string;
  readonly label: string;
  readonly pinFile: string;
  readonly keyId: string;
  readonly seconds: number;
}

const order = JSON.parse(readFileSync(0, 'utf8')) as Order; // from area keys only
const module = new pkcs11js.PKCS11();
module.load(order.module);
module.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK });
const slot = module.C_GetSlotList(true).find((each) => module.C_GetTokenInfo(each).label.trimEnd() === order.label);
if (slot === undefined) throw new Error('no token');
const session = module.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
module.C_Login(session, pkcs11js.CKU_USER, readFileSync(order.pinFile, 'utf8'));
module.C_FindObjectsInit(session, [{ type: pkcs11js.CKA_ID, value: Buffer.from(order.keyId) }]);
const [key] = module.C_FindObjects(session, 1);
module.C_FindObjectsFinal(session);
if (key === undefined) throw new Error('no key');

const iv = Buffer.alloc(12, 1);
const aad = createHash('sha512').update('an aad of the usual length, as a DEK has').digest();
const mechanism = () => {
  const parameter = { type: pkcs11js.CK_PARAMS_GCM, iv, ivBits: 96, aad, tagBits: 128 };
  return { mechanism: pkcs11js.CKM_AES_GCM, parameter };
};
module.C_EncryptInit(session, mechanism(), key);
const sealed = Buffer.from(module.C_Encrypt(session, Buffer.alloc(32, 7), Buffer.alloc(48)));

function unwrap(at: Buffer): void {
  module.C_DecryptInit(session, mechanism(), at);
  module.C_Decrypt(session, sealed, Buffer.alloc(48));
}

for (let warm = 0; warm < 1_000; warm++) unwrap(key);
const startedAt = performance.now();
let done = 0;
while (performance.now() - startedAt < order.seconds * 1000) {
  for (let each = 0; each < 100; each++) unwrap(key);
  done += 100;
}
console.log(done / ((performance.now() - startedAt) / 1000));
module.C_Finalize();
