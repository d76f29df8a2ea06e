/** `wv attester capture`: the state this machine is in now, as reference values to propose. Whoever proposes them vouches for the machine. */
import { randomBytes, X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AnsweredChallenge, CapturedState } from '../attestation/port.ts';
import { VaultError } from '../domain/errors.ts';
import type { ReferenceValue } from '../domain/evidence.ts';
import { print } from './output.ts';
import { type Requester, withRequester, withTpmRequester } from './requester.ts';
import { isTpm } from './requester-settings.ts';

export interface CaptureOptions {
  readonly requester: string;
  readonly id: string;
  readonly json?: boolean;
}

export async function capture(out: string, options: CaptureOptions): Promise<void> {
  const values = await withRequester(options.requester, (requester) => captured(requester, options));
  await writeFile(out, `${JSON.stringify({ values }, null, 2)}\n`, { mode: 0o600 });
  print(options, { out, values: values.length }, [`${out}: the state of this machine, now.`]);
}

/** Every challenge that nobody sent is as good as another: nobody will be shown the answer. */
async function captured({ settings, attesters }: Requester, { requester, id }: CaptureOptions): Promise<readonly ReferenceValue[]> {
  const challenge: AnsweredChallenge = { challengeNonce: randomBytes(32), spki: await spkiOf(requester) };
  const machine = isTpm(settings)
    ? await quotedState(requester, id)
    : measuredAs(id, await attesters.machine.capture?.(randomBytes(32), challenge));
  const devices: CapturedState[] = [];
  for (const { captureDevices } of attesters.devices) devices.push(...((await captureDevices?.(challenge)) ?? []));
  const beside = devices.flatMap((state, at) => measuredAs(`${id}.${state.kind}${at === 0 ? '' : `-${at + 1}`}`, state));
  if (machine.length + beside.length > 0) return [...machine, ...beside];
  throw new VaultError(
    'usage',
    `${settings.kind} evidence says nothing that was measured here: write down what its issuer says of good machines`,
  );
}

function measuredAs(id: string, state: CapturedState | undefined): readonly ReferenceValue[] {
  return state === undefined ? [] : [{ id, ...state }];
}

function quotedState(folder: string, id: string): Promise<readonly ReferenceValue[]> {
  return withTpmRequester(folder, async ({ attester }) => {
    const banks = Object.entries(await attester.readPcrs());
    const accepted = (values: Readonly<Record<string, string>>) =>
      Object.fromEntries(Object.entries(values).map(([index, value]) => [index, [value]]));
    return [{ id, kind: 'tpm2', pcrs: Object.fromEntries(banks.map(([bank, values]) => [bank, accepted(values)])) }];
  });
}

async function spkiOf(folder: string): Promise<Uint8Array> {
  const certificate = new X509Certificate(await readFile(join(folder, 'tls.crt')));
  return new Uint8Array(certificate.publicKey.export({ type: 'spki', format: 'der' }));
}
