/** The one client of every server: curl processes, so that nothing the client does is counted as the server's. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { TlsFiles } from './bench-vault.ts';
import { CIPHER } from './peers.ts';

const run = promisify(execFile);

export interface Target {
  readonly port: number;
  readonly path: string;
}

function args(tls: TlsFiles): string[] {
  const ours = ['--cert', tls.clientCertificate, '--key', tls.clientKey, '--cacert', tls.serverCertificate];
  return ['--silent', '--show-error', '--fail', '--http1.1', '--tlsv1.3', '--tls13-ciphers', CIPHER, ...ours, '--output', '/dev/null'];
}

const url = ({ port, path }: Target) => `https://127.0.0.1:${port}${path}`;

/** The whole object once, in `streams` ranges over as many connections. Throws unless every byte came. */
export async function download(target: Target, bytes: number, streams: number, tls: TlsFiles): Promise<void> {
  const share = Math.ceil(bytes / streams);
  const spans = Array.from({ length: streams }, (_, at) => [at * share, Math.min(bytes, (at + 1) * share) - 1] as const);
  const counts = await Promise.all(
    spans.map(async ([first, last]) => {
      const range = streams === 1 ? [] : ['--range', `${first}-${last}`];
      const { stdout } = await run('curl', [...args(tls), ...range, '--write-out', '%{size_download}', url(target)]);
      return Number(stdout);
    }),
  );
  const got = counts.reduce((sum, one) => sum + one, 0);
  if (got !== bytes) throw new Error(`${got} of ${bytes} bytes came from ${url(target)}`);
}

/** What was negotiated, in curl's words; throws unless it is what all are to be compared by, client certificate included. */
export async function negotiated(target: Target, tls: TlsFiles): Promise<string> {
  const { stderr } = await run('curl', [...args(tls), '--verbose', '--range', '0-0', url(target)]);
  const words = /SSL connection using (.*)/.exec(stderr)?.[1] ?? 'nothing';
  if (!words.includes(`TLSv1.3 / ${CIPHER}`)) throw new Error(`${url(target)} speaks ${words}`);
  if (!stderr.includes('Request CERT')) throw new Error(`${url(target)} asks for no client certificate`);
  return words;
}
