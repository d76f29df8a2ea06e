/** Health, for load balancers and supervisors. Strangers may ask, so the answer is one word. */
import { z } from 'zod';
import type { Readiness } from '../vault/readiness.ts';
import { forAnyone, type Route } from './route.ts';

const health = z.strictObject({ status: z.enum(['ok', 'unready']) });

export function healthRoutes(readiness: Readiness): Route[] {
  return [
    forAnyone({
      method: 'get',
      path: '/v1/health/live',
      action: { open: 'says that the process answers, and nothing else' },
      operationId: 'readLiveness',
      summary: 'The process answers: do not restart it',
      answers: { 200: health },
      handle: () => ({ status: 'ok' as const }),
    }),
    forAnyone({
      method: 'get',
      path: '/v1/health/ready',
      action: { open: 'one word, probed at most once a second however often it is asked' },
      operationId: 'readReadiness',
      summary: 'Whether to send requests here',
      answers: { 200: health, 503: health },
      stream: async ({ response }) => {
        const unready = await readiness.check();
        response.status(unready === undefined ? 200 : 503).set('Cache-Control', 'no-store');
        response.json({ status: unready === undefined ? 'ok' : 'unready' } satisfies z.output<typeof health>);
      },
    }),
  ];
}
