/** A machine's evidence, whole: what stands beside it is made first, and the machine's own carries its digest. */
import { describe, expect, test } from '@jest/globals';
import { type Attesters, gatherEvidence } from '../../src/agent/gather-evidence.ts';
import type { Attester, DeviceAttester } from '../../src/attestation/port.ts';
import { toHex } from '../../src/domain/bytes.ts';
import { additionalEvidenceDigest, evidenceBinding, gpuNonce } from '../../src/domain/evidence.ts';
import type { VaultId } from '../../src/domain/ids.ts';

const bound = {
  vaultId: '01a0b1c2-d3e4-7000-8000-000000000001' as VaultId,
  challengeNonce: new Uint8Array(32).fill(7),
  spki: new Uint8Array(91),
};
const asked: string[] = [];
const machine: Attester = {
  kind: 'tdx',
  async attest(binding) {
    asked.push('tdx');
    return { carries: toHex(binding) };
  },
};
const token: Attester = {
  kind: 'jwt',
  async attest(binding) {
    asked.push('jwt');
    return { carries: toHex(binding) };
  },
};
const gpus: DeviceAttester = {
  kind: 'nvidia-gpu',
  async attestDevices(challenge) {
    asked.push('nvidia-gpu');
    return [0, 1].map((at) => ({ nonce: toHex(gpuNonce(challenge)), at }));
  },
};
const gather = (over: Partial<Attesters> = {}) => gatherEvidence({ machine, beside: [token], devices: [gpus], ...over }, bound);

describe('evidence', () => {
  test('stands in one order: the machine, its devices, then other words about it; the machine is asked last', async () => {
    asked.length = 0;
    const evidence = await gather();
    expect(evidence.map(({ kind }) => kind)).toEqual(['tdx', 'nvidia-gpu', 'nvidia-gpu', 'jwt']);
    expect(asked).toEqual(['nvidia-gpu', 'jwt', 'tdx']);
  });

  test('of the machine carries the digest of what is sent beside it; a token carries B without', async () => {
    const evidence = await gather();
    const digest = additionalEvidenceDigest(evidence) ?? new Uint8Array(0);
    expect(evidence[0].body['carries']).toBe(toHex(evidenceBinding({ ...bound, additionalEvidenceDigest: digest })));
    expect(evidence[3]?.body['carries']).toBe(toHex(evidenceBinding(bound)));
    expect(evidence[1]?.body['nonce']).toBe(toHex(gpuNonce(bound)));
  });

  test('of a machine alone carries no digest', async () => {
    const [alone, ...more] = await gather({ beside: [], devices: [] });
    expect(more).toEqual([]);
    expect(alone.body['carries']).toBe(toHex(evidenceBinding(bound)));
  });

  test('is whole or none: a device that cannot answer ends it', async () => {
    const broken = { ...gpus, attestDevices: () => Promise.reject(new Error('no device')) };
    await expect(gather({ devices: [broken] })).rejects.toThrow('no device');
  });
});
