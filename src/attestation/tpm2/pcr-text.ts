/** PCR lists as tpm2-tools write them: "sha256:0,7+sha384:1" in, an indented table out. */
import type { PcrBanks } from '../../domain/evidence.ts';
import { BANK_BYTES, type BankName } from './algorithms.ts';
import { PCR_COUNT } from './quote.ts';

/** Which PCRs to quote, by bank. */
export type PcrChoice = Readonly<Partial<Record<BankName, readonly number[]>>>;

/** Throws when the choice names no PCR or one that does not exist: such a quote would prove nothing, and only at the vault. */
export function selectionText(choice: PcrChoice): string {
  const banks = Object.entries(choice).map(([bank, indexes]) => {
    if (!Object.hasOwn(BANK_BYTES, bank)) throw new Error(`${bank} is not a PCR bank`);
    if (indexes.length === 0 || !indexes.every(isPcrIndex))
      throw new Error(`PCRs of bank ${bank} must be 0 to ${PCR_COUNT - 1}, at least one`);
    if (new Set(indexes).size !== indexes.length) throw new Error(`a PCR of bank ${bank} is named twice`);
    return `${bank}:${indexes.toSorted((a, b) => a - b).join(',')}`;
  });
  if (banks.length === 0) throw new Error('name at least one PCR to quote');
  return banks.join('+');
}

/** The output of `tpm2_pcrread`. A bank the TPM does not keep has no values and is left out. Throws on a line it does not know. */
export function parsePcrTable(text: string): PcrBanks {
  const banks: Record<string, Record<string, string>> = {};
  let current: Record<string, string> | undefined;
  for (const line of text.split('\n').filter((each) => each.trim() !== '')) {
    const bank = /^ {2}(sha1|sha256|sha384):\s*$/.exec(line)?.[1];
    const [, index, value] = /^ {4}(\d{1,2}) *: 0x([0-9A-Fa-f]+)\s*$/.exec(line) ?? [];
    if (bank !== undefined) {
      current = {};
      banks[bank] = current;
    } else if (current !== undefined && index !== undefined && value !== undefined) current[index] = value.toLowerCase();
    else throw new Error(`tpm2_pcrread printed a line this version does not know: ${line.slice(0, 100)}`);
  }
  return Object.fromEntries(Object.entries(banks).filter(([, values]) => Object.keys(values).length > 0));
}

function isPcrIndex(index: number): boolean {
  return Number.isInteger(index) && index >= 0 && index < PCR_COUNT;
}
