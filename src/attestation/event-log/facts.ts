/**
 * What a log says in words. A digest proves only itself: text counts here when it hashes to the digest of its own event, and all of it only when
 * the replay of the log equals signed registers.
 */
import { createHash } from 'node:crypto';
import { equalBytes, toHex } from '../../domain/bytes.ts';
import type { EventLog, LogBank, LoggedEvent } from './event-log.ts';

/** Event types (TCG PC Client Platform Firmware Profile 1.06, 10.4.1). */
const EV_SEPARATOR = 4;
const EV_IPL = 0x0d;
const EV_EFI_VARIABLE_DRIVER_CONFIG = 0x8000_0001;
const EV_EFI_BOOT_SERVICES_APPLICATION = 0x8000_0003;

export interface LogFacts {
  /** Of the digests below: the strongest the log has. */
  readonly bank: LogBank | null;
  /** The UEFI variable; null when the log does not have it, or says something that does not hash to its digest. */
  readonly secureBoot: boolean | null;
  /** Authenticode digests of what the firmware started, in order: boot loader, kernel. */
  readonly bootApplications: readonly string[];
  /** What the boot loader handed to the kernel, as far as it wrote it down (GRUB, systemd-stub). */
  readonly commandLines: readonly string[];
  readonly [name: string]: boolean | string | readonly string[] | null;
}

const STRENGTH: readonly LogBank[] = ['sha512', 'sha384', 'sha256', 'sha1'];
const MAX_COMMAND_LINES = 16;
const MAX_COMMAND_LINE_CHARS = 4096;

/**
 * Which register firmware and boot loader use for what (TCG PC Client Platform Firmware Profile 1.06, 3.3.4; Intel's guest-hypervisor interface
 * maps PCRs to registers of a TD). Elsewhere the same event says nothing: the running system can extend what it likes and log what it likes.
 */
const LAYOUTS = {
  tpm: { secureBoot: 7, applications: 4, commandLines: [8, 9, 12] },
  ccel: { secureBoot: 1, applications: 2, commandLines: [3] },
} as const;
export type LogLayout = keyof typeof LAYOUTS;

export interface Quoted {
  readonly bank: LogBank;
  /** Events of others are nobody's word. */
  readonly registers: readonly number[];
}

/** `quoted` says what was signed. Absent: all, by the strongest digests there are. */
export function factsOf(log: EventLog, layout: LogLayout, quoted?: Quoted): LogFacts {
  const bank = [quoted?.bank, ...STRENGTH].find((one) => one !== undefined && log.banks.includes(one)) ?? null;
  const missing = bank === null || (quoted !== undefined && bank !== quoted.bank);
  if (missing) return { bank: null, secureBoot: null, bootApplications: [], commandLines: [] };
  const { secureBoot, applications, commandLines } = LAYOUTS[layout];
  const extended = log.events.filter(({ digests }) => digests.has(bank)); // what has no digest in the bank, nobody measured
  const of = (...registers: readonly number[]) =>
    extended.filter(({ register }) => registers.includes(register) && (quoted?.registers.includes(register) ?? true));
  const started = of(applications).filter(({ type }) => type === EV_EFI_BOOT_SERVICES_APPLICATION);
  return {
    bank,
    secureBoot: secureBootOf(of(secureBoot), bank),
    bootApplications: started.flatMap(({ digests }) => digests.get(bank) ?? []).map(toHex),
    commandLines: of(...commandLines)
      .flatMap((event) => commandLineOf(event, bank) ?? [])
      .slice(0, MAX_COMMAND_LINES),
  };
}

/** Said once before the separator that ends what the firmware measures by itself: behind it the system it started can extend. */
function secureBootOf(events: readonly LoggedEvent[], bank: LogBank): boolean | null {
  const end = events.findIndex(({ type }) => type === EV_SEPARATOR);
  const before = end < 0 ? [] : events.slice(0, end);
  const variables = before.filter(({ type }) => type === EV_EFI_VARIABLE_DRIVER_CONFIG).filter((event) => hashes(event, bank, event.data));
  const [value, ...more] = variables.flatMap(({ data }) => variableNamed('SecureBoot', data) ?? []);
  return value === undefined || more.length > 0 || value.length !== 1 ? null : value[0] === 1;
}

/** UEFI_VARIABLE_DATA (10.2.6): GUID, two 64-bit lengths, the name in UTF-16, the value. */
function variableNamed(name: string, data: Uint8Array): Uint8Array | undefined {
  const wanted = Buffer.from(name, 'utf16le');
  if (data.length < 32 + wanted.length) return undefined;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const value = data.subarray(32 + wanted.length);
  const fits = view.getBigUint64(16, true) === BigInt(name.length) && view.getBigUint64(24, true) === BigInt(value.length);
  return fits && equalBytes(data.subarray(32, 32 + wanted.length), wanted) ? value : undefined;
}

/** GRUB hashes what follows its label, without the last NUL; systemd-stub hashes all of its UTF-16. */
function commandLineOf(event: LoggedEvent, bank: LogBank): string | undefined {
  if (event.type !== EV_IPL || event.data.length > MAX_COMMAND_LINE_CHARS * 2) return undefined;
  const text = Buffer.from(event.data).toString('utf8').replace(/\0$/, '');
  const [, grub] = /^kernel_cmdline: (.+)$/su.exec(text) ?? [];
  if (grub !== undefined) return hashes(event, bank, Buffer.from(grub, 'utf8')) ? grub : undefined;
  const stub = Buffer.from(event.data).toString('utf16le').replace(/\0+$/, '');
  return hashes(event, bank, event.data) && /^[\x20-\x7e]+$/.test(stub) ? stub : undefined;
}

function hashes({ digests }: LoggedEvent, bank: LogBank, text: Uint8Array): boolean {
  const digest = digests.get(bank);
  return digest !== undefined && equalBytes(createHash(bank).update(text).digest(), digest);
}
