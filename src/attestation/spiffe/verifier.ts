/** EvidenceVerifier of kind `spiffe`: identity of a workload by its trust domain. An X.509-SVID is the key of this connection; a JWT-SVID is a bearer's. */
import * as z from 'zod';
import { isRefusal, type Refusal, type SpiffeAnchor, type VerifiedWorkload } from '../../domain/evidence.ts';
import { base64Bytes, parseBody } from '../body-form.ts';
import { MAX_TOKEN_CHARS } from '../jwt/evidence.ts';
import type { EvidenceVerifier, VerificationContext } from '../port.ts';
import { findWorkload } from '../workload.ts';
import { MAX_CERTIFICATE_BYTES } from '../x509/certificate.ts';
import { IssuerMemo } from '../x509/path.ts';
import { verifyJwtSvid } from './jwt-svid.ts';
import type { SpiffeId } from './spiffe-id.ts';
import { verifyX509Svid } from './x509-svid.ts';

/** One of the two: `certificates` as DER in base64, the workload's first; or a compact token. */
const bodyForm = z.union([
  z.strictObject({ certificates: z.array(base64Bytes(1, MAX_CERTIFICATE_BYTES)).min(1).max(4) }),
  z.strictObject({ token: z.string().min(1).max(MAX_TOKEN_CHARS) }),
]);

export function createSpiffeVerifier(memo = new IssuerMemo()): EvidenceVerifier<VerifiedWorkload<'spiffe'>> {
  return { kind: 'spiffe', verify: (body, context) => verify(body, context, memo) };
}

async function verify(
  body: Readonly<Record<string, unknown>>,
  context: VerificationContext,
  memo: IssuerMemo,
): Promise<VerifiedWorkload<'spiffe'> | Refusal> {
  const shown = parseBody(bodyForm, body);
  if (isRefusal(shown)) return shown;
  const anchors = context.anchors.filter((anchor): anchor is SpiffeAnchor => anchor.kind === 'spiffe');
  if ('certificates' in shown) {
    const svid = verifyX509Svid(shown.certificates, { anchors, spki: context.spki, now: context.now, memo });
    return isRefusal(svid) ? svid : workload(svid.spiffeId, 'X.509-SVID', context, svid.endorsements);
  }
  const spiffeId = await verifyJwtSvid(shown.token, anchors, context);
  return isRefusal(spiffeId) ? spiffeId : workload(spiffeId, 'JWT-SVID', context, []);
}

async function workload(
  { id, trustDomain }: SpiffeId,
  document: 'X.509-SVID' | 'JWT-SVID',
  context: VerificationContext,
  endorsements: NonNullable<VerifiedWorkload['endorsements']>,
): Promise<VerifiedWorkload<'spiffe'> | Refusal> {
  const facts = { spiffeId: id, trustDomain, document };
  const attester = await findWorkload('spiffe', facts, context);
  if (isRefusal(attester)) return attester;
  const proved = { fresh: false, keyBound: document === 'X.509-SVID', hardware: false, tee: false };
  return { kind: 'spiffe', attester, facts, proved, endorsements };
}
