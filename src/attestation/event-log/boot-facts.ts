/** Of what a log says, the facts: named alike for every kind that carries one (domain/facts.ts). The log must equal what was signed. */
import type { Facts } from '../../domain/facts.ts';
import type { LogFacts } from './facts.ts';

/** Texts of a fact: what is longer, or more, is left out as a whole, because a part of it would say something else. */
const MAX_FACT_TEXTS = 16;
const MAX_FACT_CHARS = 1024;

export function bootFacts({
  secureBoot,
  bootApplications,
  commandLines,
}: Pick<LogFacts, 'secureBoot' | 'bootApplications' | 'commandLines'>): Facts {
  return {
    ...(secureBoot !== null && { secureBoot }),
    ...(fits(bootApplications) && { bootApplications }),
    ...(fits(commandLines) && commandLines.every(isPlain) && { commandLines }),
  };
}

function fits(texts: readonly string[]): boolean {
  return texts.length > 0 && texts.length <= MAX_FACT_TEXTS && texts.reduce((sum, one) => sum + one.length, 0) <= MAX_FACT_CHARS * 2;
}

function isPlain(text: string): boolean {
  return text.isWellFormed() && text === text.normalize('NFC') && text.length <= MAX_FACT_CHARS && !/\p{Cc}/u.test(text);
}
