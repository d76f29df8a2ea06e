import { z } from 'zod';
import { type AdminOptions, type Kit, namespacePath } from './kit.ts';
import { print } from './output.ts';

/** Proposes a document that replaces the one in force in `slot`: reads its counter, and asks for the next. */
export async function propose(kit: Kit, slot: string, body: object, options: AdminOptions): Promise<void> {
  const path = `${namespacePath(options)}/documents/${slot}`;
  const current = await kit.call('GET', path);
  const counter = z.int().min(0).parse(current['counter']) + 1;
  const answer = await kit.call('PUT', path, { counter, ...body });
  print(options, answer, [
    `${slot} ${counter}: request ${String(answer['requestId'])}, digest ${String(answer['operationDigest'])}, ${String(answer['state'])}.`,
  ]);
}
