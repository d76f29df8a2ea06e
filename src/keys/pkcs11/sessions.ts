/** Opening and closing PKCS#11 sessions. */
import { CK, type Handle, type Pkcs11Module } from './module.ts';

export function openSession(module: Pkcs11Module, slot: Handle, readOnly: boolean): Handle {
  return module.C_OpenSession(slot, CK.CKF_SERIAL_SESSION | (readOnly ? 0 : CK.CKF_RW_SESSION));
}

export function closeSession(module: Pkcs11Module, session: Handle): void {
  try {
    module.C_CloseSession(session);
  } catch {
    // It was closed already, by the token or by an earlier try; what counts is the new one.
  }
}
