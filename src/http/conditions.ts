/**
 * Conditional requests (RFC 9110 section 13). An object's strong entity tag is its SHA-256, and it has no modification date, so
 * conditions on dates are not evaluated (13.1.3, 13.1.4) and a date in If-Range never matches.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { VaultError } from '../domain/errors.ts';

export type Verdict = 'send' | 'not_modified' | 'precondition_failed';

interface EntityTag {
  readonly weak: boolean;
  readonly opaque: string;
}

/**
 * In the order of section 13.2.2, for GET and HEAD. `tag` as it stands in ETag, quotes included.
 * Throws `request_invalid` for what is no list of tags.
 */
export function evaluate(headers: Pick<IncomingHttpHeaders, 'if-match' | 'if-none-match'>, tag: string): Verdict {
  const { 'if-match': match, 'if-none-match': noneMatch } = headers;
  if (match !== undefined && !names(match, tag, 'strong', 'If-Match')) return 'precondition_failed';
  if (noneMatch !== undefined && names(noneMatch, tag, 'weak', 'If-None-Match')) return 'not_modified';
  return 'send';
}

/** Whether Range counts (13.1.5): without If-Range, or when it is this very tag. Anything else sends the whole object: never wrong. */
export function rangeCounts(ifRange: string | undefined, tag: string): boolean {
  return ifRange === undefined || ifRange.trim() === tag;
}

/** Strong comparison takes no weak tag; weak comparison looks at the opaque part only (8.8.3.2). */
function names(header: string, tag: string, comparison: 'strong' | 'weak', what: string): boolean {
  if (header.trim() === '*') return true; // the object exists: it was opened
  return parseTags(header, what).some(({ weak, opaque }) => opaque === tag && (comparison === 'weak' || !weak));
}

function parseTags(header: string, what: string): EntityTag[] {
  const list = /^[ \t,]*(?:(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"[ \t]*(?:,[ \t,]*|$))+$/;
  if (!list.test(header)) throw new VaultError('request_invalid', `${what} is no list of entity tags`);
  return [...header.matchAll(/(W\/)?("[^"]*")/g)].map(([, weak, opaque = '']) => ({ weak: weak !== undefined, opaque }));
}
