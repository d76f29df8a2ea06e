/** The form of what Intel's provisioning service publishes (PCS API v4) and of the bundle it travels in here. */
import * as z from 'zod';
import { Malformed } from '../x509/der.ts';

/** Real bundles have 21 KiB; a list of revoked certificates may grow. */
export const MAX_COLLATERAL_BYTES = 1_048_576;
const MAX_LEVELS = 256;

const hex = (bytes: number) =>
  z
    .string()
    .regex(new RegExp(`^[0-9a-fA-F]{${bytes * 2}}$`))
    .transform((text) => text.toLowerCase()); // Intel writes both
const time = z.iso.datetime().transform((text) => new Date(text));
const svn = z.int().min(0).max(0xffff);
const level = { tcbDate: z.string().max(32), tcbStatus: z.string().max(64), advisoryIDs: z.array(z.string().max(64)).max(256).optional() };
const components = z
  .array(z.looseObject({ svn }))
  .length(16)
  .transform((list) => list.map((one) => one.svn));

const moduleIdentity = { mrsigner: hex(48), attributes: hex(8), attributesMask: hex(8) };
const isvLevels = z
  .array(z.looseObject({ tcb: z.looseObject({ isvsvn: svn }), ...level }))
  .min(1)
  .max(MAX_LEVELS);

const tcbInfoForm = z.looseObject({
  id: z.string().max(16),
  version: z.int(),
  issueDate: time,
  nextUpdate: time,
  fmspc: hex(6),
  pceId: hex(2),
  tcbType: z.int(),
  tcbEvaluationDataNumber: z.int().min(0),
  tdxModule: z.looseObject(moduleIdentity).optional(),
  tdxModuleIdentities: z
    .array(z.looseObject({ id: z.string().max(16), ...moduleIdentity, tcbLevels: isvLevels }))
    .max(64)
    .optional(),
  tcbLevels: z
    .array(
      z.looseObject({
        tcb: z.looseObject({ sgxtcbcomponents: components, pcesvn: svn, tdxtcbcomponents: components.optional() }),
        ...level,
      }),
    )
    .min(1)
    .max(MAX_LEVELS),
});

const qeIdentityForm = z.looseObject({
  id: z.string().max(16),
  version: z.int(),
  issueDate: time,
  nextUpdate: time,
  tcbEvaluationDataNumber: z.int().min(0),
  miscselect: hex(4),
  miscselectMask: hex(4),
  attributes: hex(16),
  attributesMask: hex(16),
  mrsigner: hex(32),
  isvprodid: z.int(),
  tcbLevels: isvLevels,
});

/** Empty where it is missing or is something else: the rest of a bundle still says what it says, and this says that it is missing. */
const text = (maxChars: number) => z.string().max(maxChars).catch('');
const pem = text(65_536);
/** Lists of 48 KiB: Intel's had 7 KiB in 2026. */
const derHex = text(98_304).transform(
  (hexText) => new Uint8Array(/^(?:[0-9a-fA-F]{2})+$/.test(hexText) ? Buffer.from(hexText, 'hex') : []),
);

/** `tcb_info` and `qe_identity` are text, because the signature is over their exact bytes. */
const bundleForm = z
  .looseObject({
    tcb_info: text(524_288),
    tcb_info_signature: text(256),
    tcb_info_issuer_chain: pem,
    qe_identity: text(65_536),
    qe_identity_signature: text(256),
    qe_identity_issuer_chain: pem,
    root_ca_crl: derHex,
    pck_crl: derHex,
    pck_crl_issuer_chain: pem,
  })
  .refine(({ tcb_info: info, qe_identity: identity }) => info !== '' || identity !== '');

export type TcbInfo = z.infer<typeof tcbInfoForm>;
export type TcbLevel = TcbInfo['tcbLevels'][number];
export type QeIdentity = z.infer<typeof qeIdentityForm>;
export type CollateralBundle = z.infer<typeof bundleForm>;

/** Throw Malformed. */
export const readTcbInfo = (text: string): TcbInfo => read(tcbInfoForm, text);
export const readQeIdentity = (text: string): QeIdentity => read(qeIdentityForm, text);

export function readBundle(bytes: Uint8Array): CollateralBundle {
  if (bytes.length > MAX_COLLATERAL_BYTES) throw new Malformed(`longer than ${MAX_COLLATERAL_BYTES} bytes`);
  return read(bundleForm, Buffer.from(bytes).toString('utf8'));
}

function read<T>(form: z.ZodType<T>, text: string): T {
  const parsed = form.safeParse(parseJson(text));
  if (!parsed.success) throw new Malformed(`collateral in another form: ${parsed.error.issues[0]?.path.join('.')}`);
  return parsed.data;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Malformed('collateral that is not JSON', { cause });
  }
}
