/** One operation on a token, as plain data: it is the same on this thread and on another. */
import type { KeyInfo, KeyPurpose, KeyRef } from '../port.ts';
import type { WrappedKey } from '../wrapped-key.ts';

export type Operation =
  | { readonly verb: 'generate'; readonly ref: KeyRef; readonly purpose: KeyPurpose }
  | { readonly verb: 'describe'; readonly ref: KeyRef }
  | { readonly verb: 'destroy'; readonly ref: KeyRef }
  /** `secret` stays the caller's. */
  | { readonly verb: 'wrap'; readonly ref: KeyRef; readonly secret: Uint8Array; readonly aad: Uint8Array }
  | { readonly verb: 'unwrap'; readonly wrapped: WrappedKey; readonly aad: Uint8Array }
  | { readonly verb: 'rewrap'; readonly wrapped: WrappedKey; readonly aad: Uint8Array; readonly to: KeyRef; readonly toAad: Uint8Array }
  | { readonly verb: 'sign'; readonly ref: KeyRef; readonly message: Uint8Array }
  | { readonly verb: 'random'; readonly length: number }
  | { readonly verb: 'readHead'; readonly log: string }
  | { readonly verb: 'writeHead'; readonly log: string; readonly checkpoint: Uint8Array };

export interface Results {
  readonly generate: KeyInfo;
  readonly describe: KeyInfo;
  readonly destroy: undefined;
  readonly wrap: WrappedKey;
  /** The caller's to wipe. */
  readonly unwrap: Uint8Array;
  readonly rewrap: WrappedKey;
  readonly sign: Uint8Array;
  readonly random: Uint8Array;
  readonly readHead: readonly Uint8Array[];
  readonly writeHead: undefined;
}

export type Result = Results[keyof Results];
