// A process of its own, because a PKCS#11 library reads its environment once: initializes a token and sets its user PIN.
// Reads {module, label, soPin, pin, firstSoPin?, model?} as JSON on standard input.
import { readFileSync } from 'node:fs';
import pkcs11js from 'pkcs11js';

interface Order {
  readonly module: string;
  readonly label: string;
  readonly soPin: string;
  readonly pin: string;
  /** Of a token that comes with an officer's PIN and wants it changed (opencryptoki). */
  readonly firstSoPin?: string;
  /** Only a token whose model begins like this. */
  readonly model?: string;
}

const FIRST_PIN = '11111111'; // where the user, too, must change the PIN that was given
const order = JSON.parse(readFileSync(0, 'utf8')) as Order; // from the harness only
const module = new pkcs11js.PKCS11();
module.load(order.module);
module.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK });
try {
  make(order);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  module.C_Finalize();
}

function make({ label, soPin, pin, firstSoPin, model = '' }: Order): void {
  const slot = module.C_GetSlotList(true).find((each) => isBlank(each, model));
  if (slot === undefined) throw new Error('no blank token');
  module.C_InitToken(slot, firstSoPin ?? soPin, label.padEnd(32)); // pkcs11js pads with NUL; the standard wants blanks
  if (firstSoPin === undefined) {
    asUser(slot, pkcs11js.CKU_SO, soPin, (session) => module.C_InitPIN(session, pin));
    return;
  }
  asUser(slot, pkcs11js.CKU_SO, firstSoPin, (session) => module.C_SetPIN(session, firstSoPin, soPin));
  asUser(slot, pkcs11js.CKU_SO, soPin, (session) => module.C_InitPIN(session, FIRST_PIN));
  asUser(slot, pkcs11js.CKU_USER, FIRST_PIN, (session) => module.C_SetPIN(session, FIRST_PIN, pin));
}

/** A token that somebody made is never touched. */
function isBlank(slot: Buffer, model: string): boolean {
  const info = module.C_GetTokenInfo(slot);
  return info.model.startsWith(model) && (info.flags & pkcs11js.CKF_TOKEN_INITIALIZED) === 0;
}

function asUser(slot: Buffer, user: number, pin: string, work: (session: Buffer) => void): void {
  const session = module.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
  module.C_Login(session, user, pin);
  work(session);
  module.C_Logout(session);
  module.C_CloseSession(session);
}
