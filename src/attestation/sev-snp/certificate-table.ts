/** The certificates a host gives along with a report (GHCB specification, AMD 56421, section 4.1.8.1). Nothing in it is believed. */
const ENTRY_BYTES = 24;
const MAX_ENTRIES = 32;

/** GUIDs in the order of their text. The ASK's is used for the ASVK as well. */
const NAMES: Readonly<Record<string, 'key' | 'intermediate'>> = {
  '63da758de6644564adc5f4b93be8accd': 'key',
  a8074bc2a25a483eaae639c045a0b8a1: 'key',
  '4ab7b379bbac4fe4a02f05aef327c782': 'intermediate',
};

export interface HostCertificates {
  /** VCEK or VLEK, as the host gave it: DER, or PEM. */
  readonly key?: Uint8Array;
  readonly intermediate?: Uint8Array;
}

/** As much as can be read: a table that is cut or lies gives what was found before that. The vault knows where to look for the rest. */
export function readCertificateTable(table: Uint8Array): HostCertificates {
  const found: { key?: Uint8Array; intermediate?: Uint8Array } = {};
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  for (let entry = 0; entry < MAX_ENTRIES && (entry + 1) * ENTRY_BYTES <= table.length; entry++) {
    const at = entry * ENTRY_BYTES;
    const name = NAMES[Buffer.from(table.subarray(at, at + 16)).toString('hex')];
    const [offset, length] = [view.getUint32(at + 16, true), view.getUint32(at + 20, true)];
    if (offset === 0 && length === 0) break;
    if (offset + length > table.length) break;
    if (name !== undefined) found[name] ??= table.slice(offset, offset + length);
  }
  return found;
}
