/** SPIFFE IDs (SPIFFE-ID, section 2): compared character by character, so only one spelling of each gets through. */

const ID = /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/[A-Za-z0-9._-]+)+)$/;
const MAX_ID_CHARS = 2048;

export interface SpiffeId {
  readonly id: string;
  readonly trustDomain: string;
}

/** A workload's: with a path, no empty, `.` or `..` part. Undefined for anything else. */
export function parseSpiffeId(text: unknown): SpiffeId | undefined {
  if (typeof text !== 'string' || text.length > MAX_ID_CHARS) return undefined;
  const [, trustDomain, path] = ID.exec(text) ?? [];
  if (trustDomain === undefined || path === undefined || path.split('/').some((part) => part === '.' || part === '..')) return undefined;
  return { id: text, trustDomain };
}
