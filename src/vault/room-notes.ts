/** That nothing new is released for want of room, and that it is again, as records of the log: they fit, that is what the reserve is for. */
import { loggable } from '../audit/record.ts';
import type { Room } from '../audit/room.ts';
import type { Vault } from './vault.ts';

/** Nothing waits for these records; one that cannot be written is told to `onError`. */
export function noteRoom(
  now: Room,
  before: Room,
  { stores, accessLog }: Pick<Vault, 'stores' | 'accessLog'>,
  onError: (error: unknown) => void,
): void {
  const draft = { detail: loggable(`room for the log: ${now}`, 64), actor: { kind: 'system' } } as const;
  const write = (type: 'log.refusing' | 'log.accepting') =>
    void stores.unitOfWork
      .run((tx) =>
        type === 'log.refusing'
          ? accessLog.append(tx, { ...draft, type, outcome: 'failure', reason: 'log_space_low' })
          : accessLog.append(tx, { ...draft, type, outcome: 'success' }),
      )
      .catch(onError);
  if (now === 'ample') write('log.accepting');
  else if (before === 'ample') write('log.refusing');
}
