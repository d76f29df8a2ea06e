/**
 * Somebody honest beside whatever a test of this folder breaks: another tenant's machine and model. After every refusal their next request
 * must be served by the same process, so a refusal is never the end of the vault.
 */
import { expect } from '@jest/globals';
import { codeFrom, type Machine, marker, type Node, type Published, RESEARCH, type TestVault } from '../vault/test-vault.ts';

export interface Bystander {
  readonly machine: Machine;
  readonly version: Published;
  /** Attests, is granted, reads every byte, and the begin is on record. */
  served(node?: Node): Promise<void>;
}

const CONTENT = marker(777, 'BYSTANDER-');

export async function bystanderOf(vault: TestVault): Promise<Bystander> {
  await vault.putInForce(RESEARCH);
  const machine = await vault.machine('bystander', { namespace: RESEARCH });
  const version = await vault.publish('owl', 'restricted', { 'weights.bin': CONTENT }, RESEARCH);
  return {
    machine,
    version,
    async served(node = vault.node) {
      await node.vault.revocations.refresh();
      const granted = await vault.granted({ machine, version, node });
      expect(Buffer.compare(await vault.fetch(machine, granted, 'weights.bin', node), CONTENT)).toBe(0);
      expect(vault.records('release.begin').map(({ recordId }) => recordId)).toContain(granted.permit.recordId);
    },
  };
}

/** `granted`, or the code of the refusal or of the error. */
export async function outcomeOf(answer: Promise<{ readonly refused: boolean; readonly code?: string }>): Promise<string> {
  const thrown = await codeFrom(answer);
  if (thrown !== 'nothing thrown') return thrown;
  const value = await answer;
  return value.refused ? String(value.code) : 'granted';
}
