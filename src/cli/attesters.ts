/** Composition root of the requester's side: from the settings of a folder to the attesters they name. */
import { join } from 'node:path';
import type { Attesters } from '../agent/gather-evidence.ts';
import { createJwtAttester } from '../attestation/jwt/attester.ts';
import { createNitroAttester } from '../attestation/nitro/attester.ts';
import { createNvidiaAttester } from '../attestation/nvidia-gpu/attester.ts';
import type { Attester } from '../attestation/port.ts';
import { createSnpAttester } from '../attestation/sev-snp/attester.ts';
import { createSpiffeAttester, type SpiffeSource } from '../attestation/spiffe/attester.ts';
import { createTdxAttester } from '../attestation/tdx/attester.ts';
import { fetchAzureQuote } from '../attestation/tdx/azure-quote.ts';
import { createTpm2Attester, type Tpm2Attester } from '../attestation/tpm2/attester.ts';
import type { Beside, RequesterSettings, TpmSettings } from './requester-settings.ts';
import { isTpm } from './requester-settings.ts';

/** An attester that may need something done once before it attests. */
export type PreparedAttester = Attester & { prepare(): Promise<void> };

/** `chain`: the certificates of the TLS identity, where that came with one. */
export function machineAttester(folder: string, settings: RequesterSettings, chain: readonly Uint8Array[]): PreparedAttester {
  return isTpm(settings) ? tpmAttester(folder, settings) : { ...attesterOf(settings, chain), prepare: async () => undefined };
}

export function tpmAttester(folder: string, { tcti, pcrs, akAlgorithm, eventLog, cloudKey }: TpmSettings): Tpm2Attester {
  const stateFolder = join(folder, 'tpm');
  const vouched = cloudKey && { ...cloudKey, tdQuote: (report: Uint8Array) => fetchAzureQuote(report, cloudKey.tdQuoteUrl) };
  return createTpm2Attester({ tcti, stateFolder, pcrs: { sha256: pcrs }, akAlgorithm, eventLogFile: eventLog, cloudKey: vouched });
}

export function besideOf({ beside = [] }: RequesterSettings): Omit<Attesters, 'machine'> {
  return {
    beside: beside.flatMap((one) => (one.kind === 'jwt' ? [tokenAttester(one)] : [])),
    devices: beside.flatMap((one) => (one.kind === 'nvidia-gpu' ? [createNvidiaAttester({ command: one.command })] : [])),
  };
}

function attesterOf(settings: Exclude<RequesterSettings, TpmSettings>, chain: readonly Uint8Array[]): Attester {
  switch (settings.kind) {
    case 'jwt':
      return tokenAttester(settings);
    case 'sev-snp':
      return createSnpAttester(settings.tsm === undefined ? {} : { folder: settings.tsm });
    case 'tdx':
      return createTdxAttester(settings.tsm === undefined ? {} : { folder: settings.tsm });
    case 'nitro':
      return createNitroAttester({ command: settings.command });
    case 'spiffe':
      return createSpiffeAttester(spiffeSource(settings, chain));
  }
}

function spiffeSource(settings: Extract<RequesterSettings, { kind: 'spiffe' }>, chain: readonly Uint8Array[]): SpiffeSource {
  if ('svid' in settings) return { certificates: settings.svid };
  if ('tokenFile' in settings) return { tokenFile: settings.tokenFile };
  const { workloadApi, audience } = settings;
  return audience === undefined ? { chain } : { workloadApi, audience };
}

function tokenAttester(settings: Extract<Beside, { kind: 'jwt' }>): Attester {
  return createJwtAttester('tokenFile' in settings ? { file: settings.tokenFile } : { command: settings.tokenCommand });
}
