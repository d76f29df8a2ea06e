import { randomBytes } from 'node:crypto';
import { sha256Hex, utf8 } from '../domain/bytes.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { addSeconds } from '../domain/clock.ts';
import type { Digest } from '../domain/ids.ts';
import type { SessionRow } from './port.ts';

/** 256 random bits as base64url. Only the digest is stored, so reading the database opens no session. */
export function newSessionToken(): { readonly token: string; readonly digest: Digest } {
  const token = randomBytes(32).toString('base64url');
  return { token, digest: sessionTokenDigest(token) };
}

export function sessionTokenDigest(token: string): Digest {
  return sha256Hex(utf8(`weight-vault session v1 ${token}`)) as Digest; // a SHA-256 in hex
}

/** 15 minutes idle, 8 hours at most (docs/defaults.md), by the database's time. */
export function sessionLives(session: Pick<SessionRow, 'createdAt' | 'lastSeenAt'>, now: Date): boolean {
  const { createdBefore, seenBefore } = sessionsOver(now);
  return session.createdAt > createdBefore && session.lastSeenAt > seenBefore;
}

/** Sessions made, or last used, at or before these times are over. */
export function sessionsOver(now: Date): { readonly createdBefore: Date; readonly seenBefore: Date } {
  return { createdBefore: addSeconds(now, -DEFAULTS.sessionSeconds), seenBefore: addSeconds(now, -DEFAULTS.sessionIdleSeconds) };
}
