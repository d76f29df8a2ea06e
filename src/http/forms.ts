/** What stands in many answers. */
import { z } from 'zod';

/** UUIDv7, lower case. */
export const id = z.uuidv7();
/** 1 to 64 of a-z 0-9 . _ - */
export const name = z.string().min(1).max(64);
/** SHA-256, hexadecimal. */
export const digest = z.string().regex(/^[0-9a-f]{64}$/);
/** ISO 8601, UTC. */
export const time = z.iso.datetime();
