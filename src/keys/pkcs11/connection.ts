/**
 * One logged-in life of the PKCS#11 library: from C_Initialize to C_Finalize. A lost token ends it; nothing inside heals
 * (a reopened session works and sees no keys), so recovery is always a new connection.
 */
import { VaultError } from '../../domain/errors.ts';
import { CK, ckrOf, type Handle, type Pkcs11Module } from './module.ts';
import { withPin } from './pin-file.ts';
import { CKR_CRYPTOKI_ALREADY_INITIALIZED, CKR_GENERAL_ERROR, CKR_USER_ALREADY_LOGGED_IN, vaultErrorOf } from './result-codes.ts';
import { selfTest } from './self-test.ts';
import { SessionPool } from './session-pool.ts';

const SESSIONS = 4;
const CKS_RW_USER_FUNCTIONS = 3;

export interface TokenConfig {
  readonly tokenLabel: string;
  /** When set, no other token will do, whatever its label. */
  readonly tokenSerial?: string;
  readonly pinFile: string;
}

export interface Connection {
  readonly slot: Handle;
  readonly serial: string;
  readonly sessions: SessionPool;
  /** Kept out of the pool: the probe must not wait behind operations that hang. */
  readonly probeSession: Handle;
  /** There was at least one token object, so from now on there must be one. */
  sawObject: boolean;
}

/** `onLogin` hears of every C_Login, before its outcome is used. Throws `VaultError`; then the library is finalized again. */
export function openConnection(module: Pkcs11Module, config: TokenConfig, onLogin: (outcome: string) => void): Connection {
  initialize(module);
  try {
    const { slot, serial } = findToken(module, config);
    const probeSession = openSession(module, slot);
    login(module, probeSession, config.pinFile, onLogin);
    const sessions = Array.from({ length: SESSIONS }, () => openSession(module, slot));
    selfTest(module, slot, probeSession);
    const renew = (session: Handle) => {
      closeSession(module, session); // the probe session stays open, so this never logs us out
      return openSession(module, slot);
    };
    return { slot, serial, sessions: new SessionPool(sessions, renew), probeSession, sawObject: anyTokenObject(module, probeSession) };
  } catch (cause) {
    finalize(module);
    throw vaultErrorOf(cause, 'connecting to the token');
  }
}

export async function closeConnection(module: Pkcs11Module, connection: Connection): Promise<void> {
  await connection.sessions.close();
  finalize(module); // closes the sessions and logs out
}

/** Is the token really there, the same one, and are we logged in? Answers why not. A session that merely opens proves nothing. */
export function probe(module: Pkcs11Module, connection: Connection): VaultError | undefined {
  const gone = (why: string) => new VaultError('hsm_token_missing', why);
  try {
    if (module.C_GetTokenInfo(connection.slot).serialNumber.trim() !== connection.serial) return gone('another token is in the slot');
    const { state } = module.C_GetSessionInfo(connection.probeSession);
    if (state !== CKS_RW_USER_FUNCTIONS) return new VaultError('hsm_unavailable', 'the token has logged us out');
    if (anyTokenObject(module, connection.probeSession)) connection.sawObject = true;
    else if (connection.sawObject) return gone('the objects of the token are gone');
    return undefined;
  } catch (cause) {
    return absence(cause, 'probing the token');
  }
}

function initialize(module: Pkcs11Module): void {
  try {
    module.C_Initialize({ flags: CK.CKF_OS_LOCKING_OK });
  } catch (cause) {
    if (ckrOf(cause) !== CKR_CRYPTOKI_ALREADY_INITIALIZED) throw absence(cause, 'C_Initialize');
  }
}

/** Where no key is involved, CKR_GENERAL_ERROR is how SoftHSM says that its token folder is not there. */
function absence(cause: unknown, doing: string): VaultError {
  if (ckrOf(cause) === CKR_GENERAL_ERROR) return new VaultError('hsm_token_missing', `${doing}: CKR_GENERAL_ERROR`, { cause });
  return vaultErrorOf(cause, doing);
}

function finalize(module: Pkcs11Module): void {
  try {
    module.C_Finalize();
  } catch {
    // A library that cannot even end has nothing more to tell; C_Initialize is where it will be noticed.
  }
}

/** By label and serial; slot numbers change whenever a token is made or removed. */
function findToken(module: Pkcs11Module, config: TokenConfig): { slot: Handle; serial: string } {
  const labelled = module.C_GetSlotList(true).flatMap((slot) => tokenIn(module, slot, config.tokenLabel));
  const wanted = config.tokenSerial;
  const found = wanted === undefined ? labelled : labelled.filter(({ serial }) => serial === wanted);
  const [only, second] = found;
  if (second !== undefined) throw new VaultError('configuration_invalid', 'several tokens have this label: set the token serial');
  if (only === undefined) {
    throw new VaultError(
      'hsm_token_missing',
      labelled.length === 0 ? 'no token has this label' : 'the token of this label has another serial',
    );
  }
  if (only.locked) throw new VaultError('pin_incorrect', 'the token says that its PIN is locked');
  return only;
}

function tokenIn(module: Pkcs11Module, slot: Handle, label: string) {
  try {
    const info = module.C_GetTokenInfo(slot);
    if (info.label.trimEnd() !== label) return [];
    return [{ slot, serial: info.serialNumber.trim(), locked: (info.flags & CK.CKF_USER_PIN_LOCKED) !== 0 }];
  } catch {
    return []; // a slot that does not answer is not our token; if it should have been, "no token has this label" follows
  }
}

function openSession(module: Pkcs11Module, slot: Handle): Handle {
  return module.C_OpenSession(slot, CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION);
}

function closeSession(module: Pkcs11Module, session: Handle): void {
  try {
    module.C_CloseSession(session);
  } catch {
    // It was closed already, by the token or by an earlier try; what counts is the new one.
  }
}

/** One C_Login. Any refusal of the PIN comes out as `pin_incorrect`, which the provider never tries again. */
function login(module: Pkcs11Module, session: Handle, pinFile: string, onLogin: (outcome: string) => void): void {
  try {
    withPin(pinFile, (pin) => module.C_Login(session, CK.CKU_USER, pin));
    onLogin('ok');
  } catch (cause) {
    const ckr = ckrOf(cause);
    if (ckr === undefined) throw cause; // the PIN file: nothing was asked of the token
    const already = ckr === CKR_USER_ALREADY_LOGGED_IN;
    const error = vaultErrorOf(cause, 'C_Login');
    onLogin(already ? 'already' : error.code);
    if (!already) throw error;
  }
}

function anyTokenObject(module: Pkcs11Module, session: Handle): boolean {
  module.C_FindObjectsInit(session, [{ type: CK.CKA_TOKEN, value: true }]);
  try {
    const [object] = module.C_FindObjects(session, 1);
    if (object === undefined) return false;
    return module.C_GetAttributeValue(session, object, [{ type: CK.CKA_CLASS }]).length === 1;
  } finally {
    module.C_FindObjectsFinal(session);
  }
}
