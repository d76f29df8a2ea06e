/**
 * Where makers of hardware publish what verdicts need, and how their answers become the files that a person would bring in by hand. Nothing is
 * believed here: the vault looks at each file as at any other. Formats: docs/formats/collateral.md.
 */
import { derOrPem } from '../x509/pem.ts';

/** Bases of addresses: the maker's, or those of a mirror with the same paths. */
export type PublicationSource =
  | {
      readonly of: 'tdx';
      readonly fmspc: string;
      readonly authority: 'platform' | 'processor';
      readonly pcs: string;
      readonly rootCrl: string;
    }
  | { readonly of: 'sev-snp'; readonly product: string; readonly kds: string }
  | { readonly of: 'nvidia-rim'; readonly id: string; readonly rims: string }
  | { readonly of: 'file'; readonly name: string; readonly url: string };

export interface Answer {
  readonly bytes: Uint8Array;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** Resolves with what is at the address; rejects when the answer is not 200, too large or too late. Adapter: fetch-publication.ts. */
export type FetchPublication = (url: string) => Promise<Answer>;

export interface Publication {
  /** As its maker calls the file, without ending. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Rejects when a part is missing or is not what its maker answers: half of it is nothing. */
export async function readSource(source: PublicationSource, fetch: FetchPublication): Promise<readonly Publication[]> {
  switch (source.of) {
    case 'tdx':
      return [{ name: source.fmspc, bytes: await readTdx(source, fetch) }];
    case 'sev-snp': {
      const base = `${source.kds}/vcek/v1/${source.product}`;
      const [chain, crl] = [await fetch(`${base}/cert_chain`), await fetch(`${base}/crl`)];
      return [
        { name: `${source.product}-chain`, bytes: chain.bytes },
        { name: `${source.product}-crl`, bytes: crl.bytes },
      ];
    }
    case 'nvidia-rim':
      return [{ name: source.id, bytes: readRimAnswer((await fetch(`${source.rims}/v1/rim/${source.id}`)).bytes, source.id) }];
    case 'file':
      return [{ name: source.name, bytes: (await fetch(source.url)).bytes }];
  }
}

/** PCS API v4: what is signed stays as it came, byte for byte. */
async function readTdx(source: Extract<PublicationSource, { of: 'tdx' }>, fetch: FetchPublication): Promise<Uint8Array> {
  const { pcs, fmspc, authority, rootCrl } = source;
  const tcb = await fetch(`${pcs}/tdx/certification/v4/tcb?fmspc=${fmspc}`);
  const identity = await fetch(`${pcs}/tdx/certification/v4/qe/identity`);
  const pckCrl = await fetch(`${pcs}/sgx/certification/v4/pckcrl?ca=${authority}&encoding=der`);
  const [tcbInfo, qeIdentity] = [signedPart(tcb.bytes, 'tcbInfo'), signedPart(identity.bytes, 'enclaveIdentity')];
  const bundle = {
    tcb_info: tcbInfo.text,
    tcb_info_signature: tcbInfo.signature,
    tcb_info_issuer_chain: chainOf(tcb, 'tcb-info-issuer-chain'),
    qe_identity: qeIdentity.text,
    qe_identity_signature: qeIdentity.signature,
    qe_identity_issuer_chain: chainOf(identity, 'sgx-enclave-identity-issuer-chain'),
    root_ca_crl: hexOfList((await fetch(rootCrl)).bytes),
    pck_crl: hexOfList(pckCrl.bytes),
    pck_crl_issuer_chain: chainOf(pckCrl, 'sgx-pck-crl-issuer-chain'),
  };
  return new Uint8Array(Buffer.from(JSON.stringify(bundle)));
}

/** `{"tcbInfo":{...},"signature":"..."}`: what stands between is signed, so it is cut out and not written anew. */
function signedPart(bytes: Uint8Array, member: string): { readonly text: string; readonly signature: string } {
  const found = /^\{"(\w+)":(\{[\s\S]*\}),"signature":"([0-9a-fA-F]{128})"\}\s*$/.exec(Buffer.from(bytes).toString('utf8'));
  const [, name, text, signature] = found ?? [];
  if (name !== member || text === undefined || signature === undefined) throw new Error(`the answer is no signed ${member}`);
  return { text, signature };
}

function chainOf({ headers }: Answer, name: string): string {
  const value = headers[name];
  if (value === undefined) throw new Error(`the answer has no ${name}`);
  return decodeURIComponent(value);
}

function hexOfList(bytes: Uint8Array): string {
  const [der = bytes] = derOrPem(bytes, 'X509 CRL', 1);
  return Buffer.from(der).toString('hex');
}

/** NVIDIA's service answers JSON with the file in base64. */
function readRimAnswer(bytes: Uint8Array, id: string): Uint8Array {
  const answer: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
  const { id: named, rim } = answer as { id?: unknown; rim?: unknown }; // looked at in the next line
  if (named !== id || typeof rim !== 'string') throw new Error(`the answer is no RIM ${id}`);
  return new Uint8Array(Buffer.from(rim, 'base64'));
}
