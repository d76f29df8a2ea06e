/** The only way free text gets into the access log: escaped and bounded. Secrets and bytes have no way at all. */
declare const loggableBrand: unique symbol;

/** Text that a terminal, a spreadsheet or a log viewer cannot be tricked with. Made only by `loggable`. */
export type Loggable = string & { readonly [loggableBrand]: true };

// Cc: controls. Cf: bidi controls, zero-width and other invisible characters (CVE-2021-42574). Zl, Zp: line and paragraph separator.
// Cs: lone surrogates, which no UTF-8 can carry. The backslash too, so that the escaping can be undone without a doubt.
const ESCAPED = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\\]/u;
const CUT = '…';

/**
 * `text` with every character above written as `\uXXXX` (UTF-16 code units, lower-case hex), at most `maxChars` UTF-16 code units long.
 * What is longer is cut between characters and ends in U+2026.
 */
export function loggable(text: string, maxChars: number): Loggable {
  const whole = escapeUpTo(text, maxChars);
  if (whole !== undefined) return whole as Loggable; // just escaped
  return `${escapePrefix(text, maxChars - CUT.length)}${CUT}` as Loggable; // just escaped
}

/** Every value escaped; names are escaped where the leaf is built. */
export function loggableMap(values: Readonly<Record<string, string>>, maxChars: number): Readonly<Record<string, Loggable>> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, loggable(value, maxChars)]));
}

export function loggableList(values: readonly string[], maxChars: number): readonly Loggable[] {
  return values.map((value) => loggable(value, maxChars));
}

function escapeUpTo(text: string, maxChars: number): string | undefined {
  if (text.length > maxChars) return undefined;
  const escaped = escapePrefix(text, Number.POSITIVE_INFINITY);
  return escaped.length <= maxChars ? escaped : undefined;
}

/** As many whole characters as fit. Stops early: a megabyte of input costs no more than what is kept. */
function escapePrefix(text: string, maxChars: number): string {
  let out = '';
  for (const char of text) {
    const escaped = escapeChar(char);
    if (out.length + escaped.length > maxChars) break;
    out += escaped;
  }
  return out;
}

function escapeChar(char: string): string {
  if (!ESCAPED.test(char)) return char;
  return Array.from({ length: char.length }, (_, at) => `\\u${char.charCodeAt(at).toString(16).padStart(4, '0')}`).join('');
}
