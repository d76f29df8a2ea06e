/**
 * What the tokens of known verifiers say, under one set of names. A table: whose token it is, how its claims are called, and which of its
 * answers a default production policy refuses. docs/formats/evidence-jwt.md has the same presets as trust anchors for the vault.
 */
import type { ClaimValue } from '../examination.ts';
import type { JsonObject } from '../strict-json.ts';
import { claimAt } from './claims.ts';
import { earStatuses } from './ear.ts';

type Claims = Readonly<Record<string, ClaimValue>>;

interface Product {
  /** Who alone issues such tokens for production; absent where that is each one's own choice. */
  readonly issuer?: RegExp;
  is(claims: JsonObject): boolean;
  read(claims: JsonObject): Claims;
}

const NRAS = 'https://nras.attestation.nvidia.com';
const ONLY_GOOGLE = /^https:\/\/confidentialcomputing\.googleapis\.com$/;
const ONLY_NRAS = /^https:\/\/nras\.attestation\.nvidia\.com$/;
/** By name in its first years, as of Project Amber too; by address since, one for each region. */
const TRUST_AUTHORITY = /^(?:Intel Trust Authority|AS Attestation Token Issuer|https:\/\/(?:[a-z0-9-]+\.)+trustauthority\.intel\.com)$/;
/** Each has instances of their own, in the public and the sovereign clouds. */
const AZURE_ATTESTATION = /^https:\/\/(?:[a-z0-9-]+\.)+attest\.azure\.(?:net|us|cn)$/;

/** The first that fits. `product` is the name people know; a token of nobody known has none. */
const PRODUCTS: readonly Product[] = [
  {
    is: (claims) => ONLY_GOOGLE.test(String(claims['iss'])) || (claims['swname'] === 'CONFIDENTIAL_SPACE' && !isTrustAuthority(claims)),
    issuer: ONLY_GOOGLE,
    read: (claims) => ({
      product: 'GCP Confidential Space',
      measurement: textAt(claims, 'submods', 'container', 'image_digest'),
      tcb: valueAt(claims, 'tdx'),
      tcb_status: textAt(claims, 'tdx', 'gcp_attester_tcb_status'),
    }),
  },
  { is: isTrustAuthority, issuer: TRUST_AUTHORITY, read: readTrustAuthority },
  { is: isNras, issuer: ONLY_NRAS, read: readNras },
  {
    is: (claims) => Object.hasOwn(claims, 'x-ms-attestation-type'),
    issuer: AZURE_ATTESTATION,
    read: (claims) => ({
      product: 'Azure MAA',
      claims: Object.keys(claims).sort(),
      measurement: textAt(maaTee(claims), 'x-ms-sevsnpvm-launchmeasurement') ?? textAt(maaTee(claims), 'x-ms-sgx-mrenclave'),
      report_data: textAt(maaTee(claims), 'x-ms-sevsnpvm-reportdata'),
      secboot: valueAt(claims, 'secureboot'),
    }),
  },
  { is: (claims) => profileOf(claims).includes('confidential-containers/Trustee'), read: (claims) => readEar('CoCo Trustee', claims) },
  { is: (claims) => profileOf(claims).includes('veraison/ear'), read: (claims) => readEar('Veraison EAR', claims) },
  {
    is: ({ iss }) => iss === 'CoCo-Attestation-Service',
    read: (claims) => ({ product: 'CoCo attestation service', tcb: asListed(claims['tcb-status']) }),
  },
  {
    is: (claims) => Object.hasOwn(claims, 'kubernetes.io'),
    read: (claims) => ({
      product: 'Kubernetes service account',
      namespace: textAt(claims, 'kubernetes.io', 'namespace'),
      pod: textAt(claims, 'kubernetes.io', 'pod', 'name'),
    }),
  },
  { is: ({ sub }) => typeof sub === 'string' && sub.startsWith('spiffe://'), read: () => ({ product: 'SPIFFE JWT-SVID' }) },
];

function isTrustAuthority(claims: JsonObject): boolean {
  return ['attester_tcb_status', 'verifier_instance_ids', 'amber_evidence_type'].some((name) => Object.hasOwn(claims, name));
}

/** By what its claims are called: staging services and local verifiers of NVIDIA's write the same ones under names of their own. */
function isNras(claims: JsonObject): boolean {
  return claims['iss'] === NRAS || Object.keys(claims).some((name) => name.startsWith('x-nvidia-'));
}

/** Anyone, for products that everybody runs. */
export function isProductionIssuer(claims: JsonObject): boolean {
  const { issuer } = PRODUCTS.find((product) => product.is(claims)) ?? {};
  return issuer === undefined || (typeof claims['iss'] === 'string' && issuer.test(claims['iss']));
}

/** Members every EAT may have (RFC 9711), then the product's own. */
export function readProduct(claims: JsonObject): Claims {
  const own = PRODUCTS.find((product) => product.is(claims))?.read(claims) ?? readUnknown(claims);
  const common = ['hwmodel', 'swname', 'swversion', 'ueid', 'secboot', 'dbgstat', 'measres'] as const;
  const eat = Object.fromEntries(common.flatMap((name) => (Object.hasOwn(claims, name) ? [[name, valueAt(claims, name)]] : [])));
  return { nonce: valueAt(claims, 'eat_nonce'), measurement: null, ...eat, debug: debugOf(claims), ...own };
}

/** Claims stand at the top, or below the name of the TEE since version 2, or as Project Amber they began with its name. */
function readTrustAuthority(claims: JsonObject): Claims {
  const said = textAt(claims, 'attester_type') ?? textAt(claims, 'amber_evidence_type');
  const type = said ?? ['TDX', 'SGX', 'SEVSNP'].find((tee) => Object.hasOwn(claims, tee.toLowerCase())) ?? null;
  const tee = type?.toLowerCase() ?? '';
  const find = (name: string) => textAt(claims, name) ?? textAt(claims, tee, name) ?? textAt(claims, `amber_${name}`);
  const status = find('attester_tcb_status') ?? find('tcb_status');
  return {
    product: type === null ? 'Intel Trust Authority' : `Intel Trust Authority over ${type}`,
    measurement: find('sgx_mrenclave') ?? find('tdx_mrtd') ?? find('sevsnp_launchmeasurement'),
    report_data: find('sgx_report_data') ?? find('tdx_report_data') ?? find('sevsnp_reportdata') ?? find('report_data'),
    tcb: status,
    tcb_status: status,
  };
}

const NVIDIA_CHIPS: ReadonlyArray<readonly [prefix: string, product: string]> = [
  ['GH100', 'NVIDIA H100'],
  ['GB100', 'NVIDIA B100'],
  ['LS_10', 'NVIDIA NVSwitch'],
];

function readNras(claims: JsonObject): Claims {
  const digests = submodDigests(claims);
  const product = nvidiaProduct(textAt(claims, 'hwmodel'), Object.keys(digests ?? {}));
  const optional: Record<string, ClaimValue> = {
    overall_result: valueAt(claims, 'x-nvidia-overall-att-result'),
    driver_version: valueAt(claims, 'x-nvidia-gpu-driver-version'),
    vbios_version: valueAt(claims, 'x-nvidia-gpu-vbios-version'),
    submod_digests: digests,
  };
  return { product, ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== null)) };
}

/** The overall token does not say which device it is about: `parts`, the names of the tokens it is about, tell. */
function nvidiaProduct(model: string | null, parts: readonly string[]): string {
  if (model !== null) return NVIDIA_CHIPS.find(([prefix]) => model.startsWith(prefix))?.[1] ?? 'NVIDIA GPU';
  return parts.some((part) => part.startsWith('SWITCH-')) ? 'NVIDIA NVSwitch' : 'NVIDIA H100';
}

/** RFC 9711, 4.2.18.1.2: `["DIGEST", ["SHA-256", <hex>]]` by the name of the part. */
function submodDigests({ submods }: JsonObject): Readonly<Record<string, string>> | null {
  if (typeof submods !== 'object' || submods === null) return null;
  const digests = Object.entries(submods).flatMap(([name, value]): Array<[string, string]> => {
    const [kind, pair] = Array.isArray(value) ? (value as unknown[]) : [];
    const [algorithm, digest] = kind === 'DIGEST' && Array.isArray(pair) ? (pair as unknown[]) : [];
    return algorithm === 'SHA-256' && typeof digest === 'string' ? [[name, digest.toLowerCase()]] : [];
  });
  return digests.length === 0 ? null : Object.fromEntries(digests);
}

function readEar(product: string, claims: JsonObject): Claims {
  return { product, ear_status: earStatuses(claims) };
}

/** A status in the words of EAR counts under any profile. */
function readUnknown(claims: JsonObject): Claims {
  const status = earStatuses(claims);
  return Object.values(status).every((tier) => tier === 'missing') ? { product: null } : { product: null, ear_status: status };
}

function profileOf({ eat_profile: profile }: JsonObject): string {
  return typeof profile === 'string' ? profile : '';
}

/** The report of an Azure VM stands inside the token about the VM. */
function maaTee(claims: JsonObject): JsonObject {
  const tee = claims['x-ms-isolation-tee'];
  return typeof tee === 'object' && tee !== null && !Array.isArray(tee) ? (tee as JsonObject) : claims;
}

/** True as soon as one member says so; null when none says anything. */
function debugOf(claims: JsonObject): boolean | null {
  const flags = ['sgx_is_debuggable', 'tdx_is_debuggable', 'sevsnp_is_debuggable'].flatMap((name) => [
    valueAt(claims, name),
    valueAt(claims, `amber_${name}`),
    ...['tdx', 'sgx', 'sevsnp'].map((tee) => valueAt(claims, tee, name)),
  ]);
  const maa = ['x-ms-sevsnpvm-is-debuggable', 'x-ms-sgx-is-debuggable', 'x-ms-tdx-is-debuggable'];
  const said = [...flags, ...maa.map((name) => valueAt(maaTee(claims), name))].filter((value) => typeof value === 'boolean');
  const dbgstat = textAt(claims, 'dbgstat');
  if (dbgstat !== null) said.push(!dbgstat.startsWith('disabled'));
  return said.length === 0 ? null : said.includes(true);
}

const MAX_LISTED_CHARS = 200;

/** The status of many components in one line, cut: `{'sgx.body.isv_svn': '0000', ...`. Later versions of the service write the line themselves. */
function asListed(status: unknown): string | null {
  if (typeof status === 'string') return status.slice(0, MAX_LISTED_CHARS);
  return typeof status === 'object' && status !== null ? inOneLine(status).slice(0, MAX_LISTED_CHARS) : null;
}

function inOneLine(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (Array.isArray(value)) return `[${value.map(inOneLine).join(', ')}]`;
  if (typeof value !== 'object' || value === null)
    return value === null ? 'None' : value === true ? 'True' : value === false ? 'False' : String(value);
  return `{${Object.entries(value)
    .map(([name, one]) => `'${name}': ${inOneLine(one)}`)
    .join(', ')}}`;
}

function valueAt(claims: JsonObject, ...path: readonly string[]): ClaimValue {
  return (claimAt(claims, path) ?? null) as ClaimValue; // JSON holds nothing else
}

function textAt(claims: JsonObject, ...path: readonly string[]): string | null {
  const value = claimAt(claims, path);
  return typeof value === 'string' ? value : null;
}
