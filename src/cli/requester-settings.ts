/** What stands in a requester's folder (requester.json): where the vault is, and what the machine attests with. */
import { z } from 'zod';

const argument = z.string().min(1).max(4096);
const command = z.tuple([argument], argument);

const nvIndex = z.string().regex(/^0x1[0-9a-f]{6}$/);

const tpm = {
  /** Absent in folders of before there was another kind. */
  kind: z.literal('tpm2').optional(),
  tcti: z.string().min(1),
  akAlgorithm: z.enum(['ecc', 'rsa']),
  pcrs: z.array(z.int().min(0).max(23)).min(1),
  /** Sent along with each quote. Written by hand; absent: none. */
  eventLog: z.string().min(1).optional(),
  /** A key that the cloud vouches for, instead of one that is activated. Written by hand. */
  cloudKey: z
    .strictObject({
      handle: z.string().regex(/^0x81[0-9a-f]{6}$/),
      certificate: nvIndex.optional(),
      issuersFile: argument.optional(),
      hclReport: nvIndex.optional(),
      hclIssuersFile: argument.optional(),
      /** Makes quotes of a TDX guest's reports. Absent: where Azure has it. */
      tdQuoteUrl: z.url({ protocol: /^http$/ }).optional(),
    })
    .optional(),
};
const tokenFromFile = { kind: z.literal('jwt'), tokenFile: argument };
const tokenFromCommand = { kind: z.literal('jwt'), tokenCommand: command };
/** `tsm`: where configfs-tsm is, when it is not where Linux has it. */
const guest = { kind: z.enum(['sev-snp', 'tdx']), tsm: argument.optional() };
const enclave = { kind: z.literal('nitro'), command };
/** As spiffe-helper writes them: the certificate and key of an X.509-SVID are the requester's TLS identity. */
const x509Svid = { kind: z.literal('spiffe'), svid: argument, svidKey: argument };
const jwtSvid = { kind: z.literal('spiffe'), tokenFile: argument };
/** By the agent of the machine: a JWT-SVID for that audience; without one, the X.509-SVID, which is the TLS identity then. */
const workloadApi = { kind: z.literal('spiffe'), workloadApi: argument, audience: argument.optional() };

/** Pieces that stand beside the machine's own. */
const beside = z.union([
  z.strictObject(tokenFromFile),
  z.strictObject(tokenFromCommand),
  z.strictObject({ kind: z.literal('nvidia-gpu'), command }),
]);
export type Beside = z.output<typeof beside>;

const where = { url: z.url(), namespace: z.string(), beside: z.array(beside).min(1).max(4).optional() };
const tpmFile = z.strictObject({ ...where, ...tpm });
export const requesterFile = z.union([
  tpmFile,
  z.strictObject({ ...where, ...tokenFromFile }),
  z.strictObject({ ...where, ...tokenFromCommand }),
  z.strictObject({ ...where, ...guest }),
  z.strictObject({ ...where, ...enclave }),
  z.strictObject({ ...where, ...x509Svid }),
  z.strictObject({ ...where, ...jwtSvid }),
  z.strictObject({ ...where, ...workloadApi }),
]);
export type RequesterSettings = z.output<typeof requesterFile>;
export type TpmSettings = z.output<typeof tpmFile>;

export function isTpm(settings: RequesterSettings): settings is TpmSettings {
  return 'tcti' in settings;
}
