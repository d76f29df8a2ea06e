// The child process of setup.ts: reads {module, label, pin, soPin} as JSON on standard input, makes the token in whatever
// SOFTHSM2_CONF names, and prints {"serial": "..."}. PKCS #11 v2.40 section 5.5: C_InitToken, then the officer sets the user PIN.
import { readFileSync } from 'node:fs';
import pkcs11js from 'pkcs11js';

interface Order {
  module: string;
  label: string;
  pin: string;
  soPin: string;
}

const order = JSON.parse(readFileSync(0, 'utf8')) as Order; // from setup.ts only
const module = new pkcs11js.PKCS11();
module.load(order.module);
module.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK });
try {
  console.log(JSON.stringify({ serial: initialise(order) }));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  module.C_Finalize();
}

function initialise({ label, pin, soPin }: Order): string {
  if (module.C_GetSlotList(true).some((slot) => labelOf(slot) === label)) throw new Error(`a token ${label} is there already`);
  const slot = module.C_GetSlotList(true).find(isBlank); // SoftHSM always offers one blank token
  if (slot === undefined) throw new Error('SoftHSM offers no free slot');
  module.C_InitToken(slot, soPin, label.padEnd(32)); // pkcs11js pads with NUL; the standard wants blanks
  setUserPin(slot, soPin, pin);
  return module.C_GetTokenInfo(slot).serialNumber.trim();
}

function setUserPin(slot: Buffer, soPin: string, pin: string): void {
  const session = module.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
  module.C_Login(session, pkcs11js.CKU_SO, soPin);
  module.C_InitPIN(session, pin);
  module.C_Logout(session);
  module.C_CloseSession(session);
}

function labelOf(slot: Buffer): string {
  return module.C_GetTokenInfo(slot).label.trim();
}

function isBlank(slot: Buffer): boolean {
  return (module.C_GetTokenInfo(slot).flags & pkcs11js.CKF_TOKEN_INITIALIZED) === 0;
}
