/** From the options of `wv attester init` and `add` to what stands in requester.json. An option of another kind is a mistake, not a hint. */
import { resolve } from 'node:path';
import { VaultError } from '../domain/errors.ts';
import type { Beside, RequesterSettings } from './requester-settings.ts';

export const MACHINE_KINDS = ['tpm2', 'jwt', 'sev-snp', 'tdx', 'nitro', 'spiffe'] as const;
export const BESIDE_KINDS = ['nvidia-gpu', 'jwt'] as const;
type Kind = (typeof MACHINE_KINDS)[number] | (typeof BESIDE_KINDS)[number];

export interface AttesterOptions {
  readonly kind: Kind;
  readonly json?: boolean;
  readonly tcti?: string;
  readonly ak?: string;
  readonly pcrs?: string;
  readonly tokenFile?: string;
  readonly tokenCommand?: string;
  readonly tsm?: string;
  readonly command?: string;
  readonly svid?: string;
  readonly svidKey?: string;
  readonly workloadApi?: string;
  readonly audience?: string;
}

type Named = Exclude<keyof AttesterOptions, 'kind' | 'json'>;
const TAKES: Readonly<Record<Kind, readonly Named[]>> = {
  tpm2: ['tcti', 'ak', 'pcrs'],
  jwt: ['tokenFile', 'tokenCommand'],
  'sev-snp': ['tsm'],
  tdx: ['tsm'],
  nitro: ['command'],
  spiffe: ['svid', 'svidKey', 'tokenFile', 'workloadApi', 'audience'],
  'nvidia-gpu': ['command'],
};
const OPTION: Readonly<Record<Named, string>> = {
  tcti: '--tcti',
  ak: '--ak',
  pcrs: '--pcrs',
  tokenFile: '--token-file',
  tokenCommand: '--token-command',
  tsm: '--tsm',
  command: '--command',
  svid: '--svid',
  svidKey: '--svid-key',
  workloadApi: '--workload-api',
  audience: '--audience',
};

type Without<T> = T extends RequesterSettings ? Omit<T, 'url' | 'namespace' | 'beside'> : never;

export function machineSettings(options: AttesterOptions): Without<RequesterSettings> {
  refuseForeign(options);
  const { kind } = options;
  switch (kind) {
    case 'tpm2':
      return tpmSettings(options);
    case 'jwt':
      return tokenSettings(options);
    case 'sev-snp':
    case 'tdx':
      return { kind, ...(options.tsm !== undefined && { tsm: resolve(options.tsm) }) };
    case 'nitro':
      return { kind, command: commandOf('--command', options.command) };
    case 'spiffe':
      return svidSettings(options);
    case 'nvidia-gpu':
      throw new VaultError('usage', 'a GPU does not say which machine asks: `wv attester add` puts it beside what does');
  }
}

export function besideSettings(options: AttesterOptions): Beside {
  refuseForeign(options);
  if (options.kind === 'nvidia-gpu') return { kind: 'nvidia-gpu', command: commandOf('--command', options.command) };
  return tokenSettings(options);
}

function refuseForeign(options: AttesterOptions): void {
  const takes = TAKES[options.kind];
  const foreign = (Object.keys(OPTION) as Named[]).find((name) => options[name] !== undefined && !takes.includes(name)); // its keys are Named
  if (foreign === undefined) return;
  const kinds = (Object.keys(TAKES) as Kind[]).filter((kind) => TAKES[kind].includes(foreign)); // its keys are Kind
  throw new VaultError('usage', `${OPTION[foreign]} is for --kind ${kinds.join(' or ')}`);
}

function tpmSettings({ tcti, ak = 'ecc', pcrs = '0,1,2,3,4,5,6,7' }: AttesterOptions) {
  if (tcti === undefined) throw new VaultError('usage', '--tcti says how to reach the TPM');
  if (ak !== 'ecc' && ak !== 'rsa') throw new VaultError('usage', '--ak is ecc or rsa');
  if (!/^\d{1,2}(,\d{1,2})*$/.test(pcrs)) throw new VaultError('usage', '--pcrs is a list of numbers');
  return { kind: 'tpm2' as const, tcti, akAlgorithm: ak as 'ecc' | 'rsa', pcrs: pcrs.split(',').map(Number) }; // looked at above
}

function tokenSettings({ tokenFile, tokenCommand }: AttesterOptions) {
  if ((tokenFile === undefined) === (tokenCommand === undefined))
    throw new VaultError('usage', 'name --token-file or --token-command, one of them');
  if (tokenFile !== undefined) return { kind: 'jwt' as const, tokenFile: resolve(tokenFile) };
  return { kind: 'jwt' as const, tokenCommand: commandOf('--token-command', tokenCommand) };
}

function svidSettings({ svid, svidKey, tokenFile, workloadApi, audience }: AttesterOptions) {
  if (workloadApi !== undefined && [svid, svidKey, tokenFile].every((one) => one === undefined)) {
    return { kind: 'spiffe' as const, workloadApi, ...(audience !== undefined && { audience }) };
  }
  if (audience !== undefined) throw new VaultError('usage', '--audience is for --workload-api');
  if (svid !== undefined && svidKey !== undefined && tokenFile === undefined) {
    return { kind: 'spiffe' as const, svid: resolve(svid), svidKey: resolve(svidKey) };
  }
  if (svid === undefined && svidKey === undefined && tokenFile !== undefined) {
    return { kind: 'spiffe' as const, tokenFile: resolve(tokenFile) };
  }
  throw new VaultError('usage', 'name --workload-api, or --svid and --svid-key, or --token-file');
}

function commandOf(option: string, text = ''): [string, ...string[]] {
  const [program, ...args] = text.split(' ').filter((part) => part !== '');
  if (program === undefined) throw new VaultError('usage', `${option} is a program and its arguments`);
  return [program, ...args];
}
