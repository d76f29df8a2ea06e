/** Which instance Google Cloud certifies a virtual TPM of: an extension of the certificate of its attestation key (google/go-tpm-tools, proto `GCEInstanceInfo`). */
import type { Facts } from '../../domain/facts.ts';
import type { Certificate } from '../x509/certificate.ts';
import { child, type DerNode, Malformed, orUndefined, parseDer, TAG } from '../x509/der.ts';

const EXTENSION = '1.3.6.1.4.1.11129.2.1.21';
const MAX_BYTES = 1024;

/** Empty when the certificate does not say so, or not in the known form. */
export function gceInstanceFacts({ extensions }: Certificate): Facts {
  const value = extensions.get(EXTENSION)?.value;
  return (value && orUndefined(() => readInstance(value))) ?? {};
}

/** SEQUENCE { zone UTF8String, projectNumber INTEGER, projectId UTF8String, instanceId INTEGER, instanceName UTF8String, ... } */
function readInstance(value: Uint8Array): Facts {
  const whole = parseDer(value, { maxBytes: MAX_BYTES, maxNodes: 50 });
  return {
    gceZone: textOf(child(whole, 0, TAG.utf8String)),
    gceProjectId: textOf(child(whole, 2, TAG.utf8String)),
    gceInstanceId: numberOf(child(whole, 3, TAG.integer)),
    gceInstanceName: textOf(child(whole, 4, TAG.utf8String)),
  };
}

/** Names of Google Cloud are ASCII. */
function textOf({ contents }: DerNode): string {
  const text = Buffer.from(contents).toString('latin1');
  if (!/^[\x21-\x7e]{1,256}$/.test(text)) throw new Malformed('not a name of Google Cloud');
  return text;
}

/** 64 bits, unsigned: as Google's tools write it. */
function numberOf({ contents }: DerNode): string {
  return BigInt(`0x${Buffer.from(contents).toString('hex') || '0'}`).toString();
}
