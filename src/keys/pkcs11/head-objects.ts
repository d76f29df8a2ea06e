/** The newest checkpoint of a log as a data object of the token (PKCS #11 v3.0 section 4.5), found by its label. */
import { equalBytes } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { statedSize } from '../bounds.ts';
import { CK, ckrOf, type Handle, type Pkcs11Module, type Template, view } from './module.ts';
import { CKR_OBJECT_HANDLE_INVALID, RESULT_CODES } from './result-codes.ts';

const APPLICATION = 'weight-vault log head';
/** One, or two after a crash, or a few when processes raced; the next write leaves one. */
const MOST = 16;

/** What is kept for this log, in no order. Throws what the token throws: an object that another process replaces meanwhile is asked for again by the caller. */
export function readHeads(module: Pkcs11Module, session: Handle, log: string): readonly Uint8Array[] {
  return find(module, session, log).map((object) => heldIn(module, session, object));
}

/**
 * Makes the new object, then destroys the ones before: tokens refuse to change a value in place, and a crash in between leaves too many and not
 * none. One that states more records stays, and nothing is written. An empty checkpoint destroys them all.
 */
export function writeHead(module: Pkcs11Module, session: Handle, log: string, checkpoint: Uint8Array): void {
  const kept = find(module, session, log).map((object) => ({ object, value: heldIn(module, session, object) }));
  if (checkpoint.length > 0) {
    const size = statedSize(checkpoint) ?? 0;
    if (kept.some(({ value }) => (statedSize(value) ?? -1) > size)) return;
    const [only, second] = kept;
    if (only !== undefined && second === undefined && equalBytes(only.value, checkpoint)) return;
    create(module, session, log, checkpoint);
  }
  for (const { object } of kept) destroy(module, session, object);
}

function create(module: Pkcs11Module, session: Handle, log: string, checkpoint: Uint8Array): void {
  try {
    module.C_CreateObject(session, [...named(log), { type: CK.CKA_PRIVATE, value: true }, { type: CK.CKA_VALUE, value: view(checkpoint) }]);
  } catch (cause) {
    const ckr = ckrOf(cause);
    if (ckr === undefined || RESULT_CODES.has(ckr)) throw cause;
    throw new VaultError('hsm_mechanism_missing', `the token keeps no data objects: CKR 0x${ckr.toString(16)}`, { cause });
  }
}

/** Another process may have been first. */
function destroy(module: Pkcs11Module, session: Handle, object: Handle): void {
  try {
    module.C_DestroyObject(session, object);
  } catch (cause) {
    if (ckrOf(cause) !== CKR_OBJECT_HANDLE_INVALID) throw cause;
  }
}

function find(module: Pkcs11Module, session: Handle, log: string): readonly Handle[] {
  module.C_FindObjectsInit(session, named(log));
  try {
    return module.C_FindObjects(session, MOST);
  } finally {
    module.C_FindObjectsFinal(session);
  }
}

function heldIn(module: Pkcs11Module, session: Handle, object: Handle): Uint8Array {
  const [attribute] = module.C_GetAttributeValue(session, object, [{ type: CK.CKA_VALUE }]);
  return Buffer.isBuffer(attribute?.value) ? new Uint8Array(attribute.value) : new Uint8Array(0);
}

function named(log: string): Template {
  return [
    { type: CK.CKA_CLASS, value: CK.CKO_DATA },
    { type: CK.CKA_TOKEN, value: true },
    { type: CK.CKA_APPLICATION, value: APPLICATION },
    { type: CK.CKA_LABEL, value: log },
  ];
}
