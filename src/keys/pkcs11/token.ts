/** Finding the token that was meant, and no other. Slot numbers change whenever a token is made or removed. */
import { VaultError } from '../../domain/errors.ts';
import { CK, type Handle, type Pkcs11Module } from './module.ts';
import type { TokenSelector } from './token-uri.ts';

export interface FoundToken {
  readonly slot: Handle;
  /** Manufacturer, model and serial: what another token of the same label does not share. */
  readonly identity: string;
  readonly serial: string;
  readonly wantsLogin: boolean;
  readonly readOnly: boolean;
}

interface SeenToken extends FoundToken, Required<TokenSelector> {
  readonly ready: boolean;
  readonly locked: boolean;
  readonly lastTry: boolean;
}

/**
 * Throws `hsm_token_missing`, `hsm_token_ambiguous`, `hsm_token_uninitialized`, or `pin_incorrect` when the token says that its PIN is locked, or would be by the next wrong one.
 * Nothing is logged in to. `identity`: the one seen first by this keeper; another one is not ours, whatever its label.
 */
export function findToken(module: Pkcs11Module, selector: TokenSelector, identity: string | undefined): FoundToken {
  const seen = module.C_GetSlotList(true).flatMap((slot) => tokenIn(module, slot));
  const named = seen.filter((token) => fits(token, selector));
  const found = identity === undefined ? named : named.filter((token) => token.identity === identity);
  const [only, second] = found;
  if (second !== undefined) throw new VaultError('hsm_token_ambiguous', `${found.length} tokens are so named: set the token serial`);
  if (only === undefined) throw new VaultError('hsm_token_missing', whyNone(seen, named, selector));
  if (!only.ready) throw new VaultError('hsm_token_uninitialized', 'the token is not initialized, or has no user PIN yet');
  if (only.locked) throw new VaultError('pin_incorrect', 'the token says that its PIN is locked');
  if (only.lastTry) throw new VaultError('pin_incorrect', LAST_TRY);
  return only;
}

const LAST_TRY = 'the token says that one more wrong PIN locks it, so nothing was tried: log in once by hand with the tool of its maker';

/** Throws what the token throws; a slot that no longer answers has no identity. */
export function identityOf(module: Pkcs11Module, slot: Handle): string {
  const { manufacturerID, model, serialNumber } = module.C_GetTokenInfo(slot);
  return [manufacturerID, model, serialNumber].map(text).join('|');
}

function tokenIn(module: Pkcs11Module, slot: Handle): SeenToken[] {
  try {
    const { label, serialNumber, manufacturerID, model, flags } = module.C_GetTokenInfo(slot);
    const has = (flag: number) => (flags & flag) !== 0;
    const wantsLogin = has(CK.CKF_LOGIN_REQUIRED);
    return [
      {
        slot,
        identity: [manufacturerID, model, serialNumber].map(text).join('|'),
        label: text(label),
        serial: text(serialNumber),
        manufacturer: text(manufacturerID),
        model: text(model),
        wantsLogin,
        readOnly: has(CK.CKF_WRITE_PROTECTED),
        // NSS sets neither flag; a token that wants a login has been given a PIN.
        ready: !wantsLogin || (has(CK.CKF_TOKEN_INITIALIZED) && has(CK.CKF_USER_PIN_INITIALIZED)),
        locked: has(CK.CKF_USER_PIN_LOCKED),
        lastTry: has(CK.CKF_USER_PIN_FINAL_TRY),
      },
    ];
  } catch {
    return []; // a slot that does not answer is not our token; if it should have been, "no token" follows
  }
}

function fits(token: SeenToken, { label, serial, manufacturer, model }: TokenSelector): boolean {
  return (
    (label === undefined || token.label === label) &&
    (serial === undefined || token.serial === serial) &&
    (manufacturer === undefined || token.manufacturer === manufacturer) &&
    (model === undefined || token.model === model)
  );
}

function whyNone(seen: readonly SeenToken[], named: readonly SeenToken[], { label, serial }: TokenSelector): string {
  if (named.length > 0) return 'another token has the name of the one this keeper began with';
  if (serial !== undefined && seen.some((token) => token.label === label)) return 'the token of this label has another serial';
  const blank = seen.filter(({ ready }) => !ready).length;
  return `no token is so named${blank > 0 ? `; ${blank} not initialized` : ''}`;
}

/** The fields are padded with blanks, and by some modules with zeros. */
function text(field: string): string {
  return field.replace(/[\0 ]+$/, '');
}
