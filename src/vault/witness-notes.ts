/** What witnesses say about the log, as records of it: a conflict at once, and a quorum that has been missing for too long. */
import { loggable, type RecordDraft } from '../audit/record.ts';
import type { WitnessEvent } from '../audit/witnesses.ts';
import type { Vault } from './vault.ts';

export interface WitnessNotes {
  event(event: WitnessEvent): void;
  lag(lagging: boolean): void;
}

/** Nothing waits for these records; one that cannot be written is told to `onError`. */
export function noteWitnesses({ stores, accessLog }: Pick<Vault, 'stores' | 'accessLog'>, onError: (error: unknown) => void): WitnessNotes {
  const write = (type: RecordDraft['type'], detail: string) => {
    const draft = { type, outcome: 'failure', detail: loggable(detail, 512), actor: { kind: 'system' } } as const;
    void stores.unitOfWork.run((tx) => accessLog.append(tx, draft)).catch(onError);
  };
  return {
    event({ state, witness, detail }) {
      if (state === 'conflict') write('log.conflict', `witness ${witness}: ${detail}`);
    },
    lag(lagging) {
      if (lagging) write('log.lagging', 'no quorum of witnesses has seen the newest checkpoint');
    },
  };
}
