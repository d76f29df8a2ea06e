/**
 * A vault that finds another log than it signed does not start, and there is no log then on which an alert could be raised; nor is there where the log
 * halts while it is served and its store takes no record. Somebody must still be told: the receivers of the newest signed document that is known, in
 * the database or kept apart from it, because a database that was put back may know of none. Nothing is written to the log, which is evidence now.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type AlertMessage, alertMessage } from '../audit/alerts/message.ts';
import type { KeptBytes } from '../audit/port.ts';
import { contradictsLog } from '../audit/round.ts';
import type { AlertDelivery, AlertTarget } from '../documents/alert-delivery.ts';
import { verifyDocument } from '../documents/document.ts';
import { fromBase64, toBase64, utf8 } from '../domain/bytes.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { codeOf, type ErrorCode } from '../domain/errors.ts';
import { newId, parseDigest, type RecordId, SYSTEM } from '../domain/ids.ts';
import { type SecretOf, sendAlert } from './alert-delivery.ts';
import { inForce } from './documents.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'node' | 'stores' | 'catalogueKey'>;

/** What is kept apart from the database. */
export interface KeptForRefusal {
  /** The newest document that says where alerts are sent. */
  readonly delivery: KeptBytes;
  /** When it was told last: a supervisor that starts the vault again and again is one alert in five minutes. */
  readonly told: KeptBytes;
}

export interface RefusalTold {
  readonly told: number;
  /** Receivers that could not be reached. */
  readonly failed: number;
}

/** The alert's title by when it was found, and the UUID of the shipped rule that raises the same of a log that is halted while it is served (A09). */
const TITLES = {
  start: 'The vault does not start: the access log is not what was signed',
  serving: 'The access log is not what was signed, and takes no record of that',
} as const;
const RULE_ID = 'b598cc94-5d53-41af-bd95-ba735d04bce7';
const PAUSES_MS = [0, 1_000, 3_000];

/** Copies the document in force to where it is kept, when it is another than the one copied before. Rejects when the store or the disk does. */
export function createDeliveryKeeper({ stores, ...vault }: Ports, kept: KeptBytes | undefined): () => Promise<void> {
  let copied: string | undefined;
  return async () => {
    if (kept === undefined) return;
    const document = await stores.unitOfWork.run(async (tx) => {
      const current = await inForce('alert-delivery', SYSTEM, tx, { stores, ...vault });
      return current && current.digest !== copied ? stores.documents.get(tx, current.digest) : undefined;
    });
    if (document === undefined) return;
    const { digest, bytes, signature } = document;
    await kept.write(utf8(JSON.stringify({ digest, bytes: toBase64(bytes), signature: toBase64(signature) })));
    copied = digest;
  };
}

/** Undefined when `error` is about something else, or it was told a moment ago. Resolves when every receiver has it or could not be reached three times. */
export async function tellOutsideOfLog(
  error: unknown,
  when: keyof typeof TITLES,
  vault: Ports,
  kept: KeptForRefusal | undefined,
  secretOf: SecretOf,
): Promise<RefusalTold | undefined> {
  const code = codeOf(error);
  if (!contradictsLog(code) || (await wasTold(kept))) return undefined;
  const known = [await deliveryIn(kept, vault), await deliveryInForce(vault)].flatMap((one) => one ?? []);
  const [newest] = known.toSorted((one, other) => other.counter - one.counter);
  const message = messageOf(code, TITLES[when], vault);
  const results = await Promise.all((newest?.targets ?? []).map((target) => send(message, target, vault, secretOf)));
  const told = results.filter((arrived) => arrived).length;
  if (told > 0) await kept?.told.write(utf8(new Date().toISOString())).catch(() => undefined); // then it is told once more
  return { told, failed: results.length - told };
}

async function wasTold(kept: KeptForRefusal | undefined): Promise<boolean> {
  const at = Date.parse(Buffer.from((await kept?.told.read()) ?? []).toString('utf8'));
  return Math.abs(Date.now() - at) < DEFAULTS.alertRepeatSeconds * 1000; // NaN is not
}

type Signed = AlertDelivery & { readonly counter: number };

/** What was kept counts only as it was signed: whoever can write the file sends nobody anywhere. */
async function deliveryIn(kept: KeptForRefusal | undefined, { catalogueKey, vaultId }: Ports): Promise<Signed | undefined> {
  const file = await kept?.delivery.read();
  if (file === undefined) return undefined;
  try {
    const said = JSON.parse(Buffer.from(file).toString('utf8')) as Record<string, string>; // anything: below it verifies or throws
    const digest = parseDigest(String(said['digest']));
    const document = {
      kind: 'alert-delivery',
      digest,
      bytes: fromBase64(String(said['bytes'])),
      signature: fromBase64(String(said['signature'])),
    } as const;
    const body = verifyDocument(document, { kind: 'alert-delivery', digest }, catalogueKey.publicKey);
    return body.vaultId === vaultId ? body : undefined;
  } catch {
    return undefined;
  }
}

async function deliveryInForce(vault: Ports): Promise<Signed | undefined> {
  return vault.stores.unitOfWork.run(async (tx) => (await inForce('alert-delivery', SYSTEM, tx, vault))?.body).catch(() => undefined);
}

/** No record stands behind it: its id is its own, so that a receiver knows a repetition. */
function messageOf(code: ErrorCode, title: string, { vaultId }: Ports): AlertMessage {
  const raisedAt = new Date();
  const about = { rule: 'A09', ruleId: RULE_ID, title, level: 'critical', group: { reason: code } } as const;
  const row = {
    ...about,
    recordId: newId<RecordId>(raisedAt),
    raisedAt,
    dedupeKey: '',
    matches: 0,
    first: 0,
    last: 0,
    sending: 'sent',
  } as const;
  return alertMessage(row, { repeated: 0, storm: 0 }, vaultId);
}

/** Whatever its minimum: there is nothing above critical. */
async function send(message: AlertMessage, target: AlertTarget, { node }: Ports, secretOf: SecretOf): Promise<boolean> {
  for (const pauseMs of PAUSES_MS) {
    await sleep(pauseMs);
    const arrived = await sendAlert(message, target, node, secretOf).then(
      () => true,
      () => false,
    );
    if (arrived) return true;
  }
  return false;
}
