/**
 * One logged-in life of the PKCS#11 library: from C_Initialize to C_Finalize. A lost token ends it; nothing inside heals
 * (a reopened session works and sees no keys), so recovery is always a new connection.
 */
import { VaultError } from '../../domain/errors.ts';
import type { Preferences } from './generate.ts';
import { CK, ckrOf, type Handle, type Pkcs11Module } from './module.ts';
import { type PinSource, withPin } from './pin-source.ts';
import type { RefusedPins } from './refused-pins.ts';
import {
  CKR_CRYPTOKI_ALREADY_INITIALIZED,
  CKR_GENERAL_ERROR,
  CKR_OBJECT_HANDLE_INVALID,
  CKR_USER_ALREADY_LOGGED_IN,
  vaultErrorOf,
  WRONG_PIN,
} from './result-codes.ts';
import { type Capabilities, selfTest } from './self-test.ts';
import { type Lane, type PoolLimits, SessionPool } from './session-pool.ts';
import { openSession } from './sessions.ts';
import { openThreadLane } from './thread-lane.ts';
import { type FoundToken, findToken, identityOf } from './token.ts';
import { type SessionSettings, TokenSession } from './token-session.ts';
import type { TokenSelector } from './token-uri.ts';

/** `inline`: calls on the event loop, fastest for a token in this machine. `threads`: one thread a session, for an HSM across a network. */
export type CallStyle = 'inline' | 'threads';

const PROBE_BYTES = 8;
const FOUND_AT_ONCE = 64;

export interface TokenConfig {
  /** Path of the shared library. */
  readonly module: string;
  readonly token: TokenSelector;
  readonly pin: PinSource;
  /** Absent: what other processes were refused is not known. */
  readonly refusedPins?: RefusedPins;
  /** `pReserved` of C_Initialize, for modules that want one (NSS). */
  readonly libraryParameters?: string;
  readonly sessions: number;
  readonly calls: CallStyle;
  readonly limits: PoolLimits;
  readonly prefer: Preferences;
  readonly allowExtractable: boolean;
}

export interface Connection {
  readonly slot: Handle;
  readonly identity: string;
  readonly serial: string;
  readonly can: Capabilities;
  readonly pool: SessionPool;
  /** Kept out of the pool: the probe must not wait behind operations that hang. */
  readonly probeSession: Handle;
  /** CK_SESSION_INFO.state once connected; another one later means that the token logged us out. */
  readonly state: number;
  /** There was at least one token object, so from now on there must be one. */
  sawObject: boolean;
}

export interface Watch {
  /** Hears of every C_Login, before its outcome is used. */
  onLogin(outcome: string): void;
  /** A thread ended by itself. */
  onDeath(): void;
}

/** Throws `VaultError`; then the library is finalized again. `identity`: no other token will do. */
export async function openConnection(
  module: Pkcs11Module,
  config: TokenConfig,
  identity: string | undefined,
  watch: Watch,
): Promise<Connection> {
  initialize(module, config.libraryParameters);
  try {
    const token = findToken(module, config.token, identity);
    const probeSession = openSession(module, token.slot, token.readOnly);
    login(module, probeSession, token, config, watch.onLogin);
    const can = selfTest(module, probeSession);
    const { slot, readOnly } = token;
    const settings: SessionSettings = { slot, readOnly, can, prefer: config.prefer, allowExtractable: config.allowExtractable };
    const lanes = await openLanes(module, config, settings, watch);
    const { state } = module.C_GetSessionInfo(probeSession);
    const sawObject = anyTokenObject(module, probeSession);
    return { ...token, can, pool: new SessionPool(lanes, config.limits), probeSession, state, sawObject };
  } catch (cause) {
    finalize(module);
    throw vaultErrorOf(cause, 'connecting to the token');
  }
}

async function openLanes(module: Pkcs11Module, config: TokenConfig, settings: SessionSettings, watch: Watch): Promise<Lane[]> {
  const count = Array.from({ length: config.sessions });
  if (config.calls === 'inline') return count.map(() => new TokenSession(module, settings));
  const opened = await Promise.allSettled(count.map(() => openThreadLane({ module: config.module, settings }, watch.onDeath)));
  const lanes = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = opened.find((one) => one.status === 'rejected');
  if (failed === undefined) return lanes;
  for (const lane of lanes) lane.close();
  throw failed.reason;
}

/** False when a thread is still inside the library, which then must not be finalized. */
export async function closeConnection(module: Pkcs11Module, connection: Connection): Promise<boolean> {
  const whole = await connection.pool.close();
  if (whole) finalize(module); // closes the sessions and logs out
  return whole;
}

/**
 * Is the token really there, the same one, and are we logged in? Answers why not. A session that merely opens proves nothing, and some libraries
 * answer all else from a file of theirs: random bytes come from the device.
 */
export function probe(module: Pkcs11Module, connection: Connection): VaultError | undefined {
  const gone = (why: string) => new VaultError('hsm_token_missing', why);
  try {
    if (identityOf(module, connection.slot) !== connection.identity) return gone('another token is in the slot');
    const { state } = module.C_GetSessionInfo(connection.probeSession);
    if (state !== connection.state) return new VaultError('hsm_unavailable', 'the token has logged us out');
    if (anyTokenObject(module, connection.probeSession)) connection.sawObject = true;
    else if (connection.sawObject) return gone('the objects of the token are gone');
    module.C_GenerateRandom(connection.probeSession, Buffer.alloc(PROBE_BYTES));
    return undefined;
  } catch (cause) {
    return absence(cause, 'probing the token');
  }
}

function initialize(module: Pkcs11Module, libraryParameters: string | undefined): void {
  // pkcs11js 2.1.7 cuts the last character of libraryParameters: a blank is there to be cut.
  const parameters = libraryParameters === undefined ? {} : { libraryParameters: `${libraryParameters} ` };
  try {
    module.C_Initialize({ flags: CK.CKF_OS_LOCKING_OK, ...parameters });
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

/** One C_Login, or none for a token that wants none. Any refusal of the PIN comes out as `pin_incorrect`, which the provider never tries again. */
function login(
  module: Pkcs11Module,
  session: Handle,
  { identity, wantsLogin }: FoundToken,
  { pin, refusedPins }: Pick<TokenConfig, 'pin' | 'refusedPins'>,
  onLogin: (outcome: string) => void,
): void {
  if (pin === 'none') {
    if (wantsLogin) throw new VaultError('configuration_invalid', 'the token wants a PIN, and no setting says where it is');
    return;
  }
  try {
    withPin(pin, (text, fileState) => {
      if (fileState !== undefined) refusedPins?.assertUntried(identity, fileState);
      try {
        module.C_Login(session, CK.CKU_USER, text);
      } catch (cause) {
        if (fileState !== undefined && WRONG_PIN.has(ckrOf(cause) ?? -1)) refusedPins?.refused(identity, fileState);
        throw cause;
      }
    });
    refusedPins?.accepted(identity);
    onLogin('ok');
  } catch (cause) {
    const ckr = ckrOf(cause);
    if (ckr === undefined) throw cause; // the PIN file, or a PIN that was refused before: nothing was asked of the token
    const already = ckr === CKR_USER_ALREADY_LOGGED_IN;
    const error = vaultErrorOf(cause, 'C_Login');
    onLogin(already ? 'already' : error.code);
    if (!already) throw error;
  }
}

/** A kept checkpoint says nothing about the keys, and comes and goes (head-objects.ts). */
function anyTokenObject(module: Pkcs11Module, session: Handle): boolean {
  module.C_FindObjectsInit(session, [{ type: CK.CKA_TOKEN, value: true }]);
  try {
    return module.C_FindObjects(session, FOUND_AT_ONCE).some((object) => isKey(module, session, object));
  } finally {
    module.C_FindObjectsFinal(session);
  }
}

function isKey(module: Pkcs11Module, session: Handle, object: Handle): boolean {
  try {
    const [attribute] = module.C_GetAttributeValue(session, object, [{ type: CK.CKA_CLASS }]);
    return Buffer.isBuffer(attribute?.value) && attribute.value.readUInt8(0) !== CK.CKO_DATA; // CK_ULONG, and the classes of ours fit in a byte
  } catch (cause) {
    if (ckrOf(cause) !== CKR_OBJECT_HANDLE_INVALID) throw cause;
    return false;
  }
}
