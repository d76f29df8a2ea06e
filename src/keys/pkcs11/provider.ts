/** KeyProvider on a PKCS#11 token. Lives in the keeper process only; everyone else talks to it through keeper/client.ts. */
import { sha256Hex, toHex } from '../../domain/bytes.ts';
import { type Clock, systemClock } from '../../domain/clock.ts';
import { type ErrorCode, VaultError } from '../../domain/errors.ts';
import { SecretBytes, secretCopy } from '../../domain/secret.ts';
import { checkAad, checkHead, checkLogName, checkMessage, checkRandomLength, checkRef, checkSecret } from '../bounds.ts';
import { healthCodeOf, type KeyProvider, type KeyProviderHealth } from '../port.ts';
import { checkWrappedKey, type WrappedKey } from '../wrapped-key.ts';
import { PROVIDER } from './key-objects.ts';
import { createLink, type Link, type LinkEvent } from './link.ts';
import { loadModule } from './module.ts';
import type { Operation, Results } from './operation.ts';
import { checkPinSource } from './pin-source.ts';
import { untilAlone } from './raced.ts';
import type { RefusedPins } from './refused-pins.ts';
import { vaultErrorOf } from './result-codes.ts';
import { linkConfigOf, type Pkcs11Settings } from './settings.ts';
import { keyName } from './templates.ts';

/** Facts about the request, or about our own queue; a lost token cannot cause them, so they need no probe. */
const CERTAIN: ReadonlySet<ErrorCode> = new Set([
  'request_invalid',
  'key_exists',
  'key_raced',
  'key_extractable',
  'keeper_queue_full',
  'keeper_deadline',
  'internal',
]);

export interface Pkcs11Options {
  readonly clock?: Clock;
  readonly onEvent?: (event: LinkEvent) => void;
  readonly refusedPins?: RefusedPins;
}

/** Throws `configuration_invalid` for a library that does not load or a PIN file others can read. Connects on first use. */
export function createPkcs11KeyProvider(settings: Pkcs11Settings, options: Pkcs11Options = {}): KeyProvider {
  const config = linkConfigOf(settings);
  checkPinSource(config.pin);
  const { onEvent = () => {}, refusedPins } = options;
  const onStuck = () => onEvent({ event: 'stuck', detail: 'a call into the PKCS#11 library does not return' });
  const limits = { ...config.limits, onStuck };
  const link = createLink(
    loadModule(config.module),
    { ...config, limits, ...(refusedPins && { refusedPins }) },
    options.clock ?? systemClock,
    onEvent,
  );
  const operate = operateOn(link);
  const inTurn = turns();

  return {
    async generate(ref, purpose) {
      checkRef(ref);
      return inTurn(keyName(ref), () => untilAlone(() => operate({ verb: 'generate', ref, purpose })));
    },
    async describe(ref) {
      checkRef(ref);
      return operate({ verb: 'describe', ref });
    },
    async destroy(ref) {
      checkRef(ref);
      await operate({ verb: 'destroy', ref });
      return {};
    },
    async wrap(ref, secret, aad) {
      checkRef(ref);
      checkSecret(secret);
      checkAad(aad);
      const plain = secret.expose(secretCopy); // lent beyond this turn of the event loop, so a copy of ours
      try {
        return await operate({ verb: 'wrap', ref, secret: plain, aad });
      } finally {
        plain.fill(0);
      }
    },
    async unwrap(wrapped, aad) {
      checkBlob(wrapped, aad);
      return new SecretBytes(await operate({ verb: 'unwrap', wrapped, aad }));
    },
    async rewrap(wrapped, aad, to, toAad) {
      checkBlob(wrapped, aad);
      checkRef(to);
      checkAad(toAad);
      return operate({ verb: 'rewrap', wrapped, aad, to, toAad });
    },
    async sign(ref, message) {
      checkRef(ref);
      checkMessage(message);
      return operate({ verb: 'sign', ref, message });
    },
    async random(length) {
      checkRandomLength(length);
      return operate({ verb: 'random', length });
    },
    heads: {
      async read(log) {
        checkLogName(log);
        return operate({ verb: 'readHead', log });
      },
      async write(log, checkpoint) {
        checkLogName(log);
        checkHead(checkpoint);
        return operate({ verb: 'writeHead', log, checkpoint });
      },
    },
    health: () => healthOf(link),
    close: () => link.close(),
  };
}

/** One operation on one leased session. A failure is believed only after the token proved to be there. */
function operateOn(link: Link) {
  return async <V extends Operation['verb']>(operation: Extract<Operation, { verb: V }>): Promise<Results[V]> => {
    const connection = link.current() ?? (await link.connected());
    try {
      const answer = connection.pool.run(operation);
      return (answer instanceof Promise ? await answer : answer) as Results[V]; // the pool answers what the verb asks for
    } catch (cause) {
      const error = vaultErrorOf(cause, operation.verb);
      if (CERTAIN.has(error.code)) throw error;
      throw (await link.check(connection)) ?? error;
    }
  };
}

/**
 * Two threads that make one ref at once would each find the other's key beside their own, and each take its own away again: none would be
 * left. Makers of one ref wait for each other here; those of other processes: raced.ts.
 */
function turns() {
  const last = new Map<string, Promise<unknown>>();
  return <T>(name: string, act: () => Promise<T>): Promise<T> => {
    const mine = (last.get(name) ?? Promise.resolve()).then(act, act);
    const leave = () => {
      if (last.get(name) === mine) last.delete(name);
    };
    last.set(name, mine);
    void mine.then(leave, leave);
    return mine;
  };
}

function checkBlob(wrapped: WrappedKey, aad: Uint8Array): void {
  checkAad(aad);
  checkWrappedKey(wrapped); // its sizes, as if read from storage
  if (wrapped.provider !== PROVIDER) throw new VaultError('key_unwrap_refused', 'the key was wrapped by another provider');
  checkRef(wrapped.kek);
  if (toHex(wrapped.aadDigest) !== sha256Hex(aad)) throw new VaultError('key_context_mismatch');
}

async function healthOf(link: Link): Promise<KeyProviderHealth> {
  try {
    await link.check(await link.connected());
    const { pool } = await link.connected(); // `check` may have given the connection up and tried another: when that worked, all is well again
    return { ok: true, load: pool.load() };
  } catch (error) {
    return { ok: false, code: healthCodeOf(vaultErrorOf(error, 'health').code) };
  }
}
