/**
 * Builds kryoptic from its crate into .cache/kryoptic, once, and runs the keys' contract suite on every token of this machine. The suite prints the
 * rows of docs/hsm.md. What is not here is a violation with its reason: whoever asks for all tokens wants all.
 */
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sha256Hex } from '../../src/domain/bytes.ts';
import { nss, opencryptoki, tpm2 } from '../harness/tokens/kinds.ts';
import { KRYOPTIC_FOLDER, KRYOPTIC_LIBRARY } from '../harness/tokens/kryoptic.ts';

const VERSION = '1.5.4';
/** SHA-256 of the lock file in that crate, which names every other crate by its checksum. cargo compares the crate with its own. */
const LOCK = 'cad27e985c294be0ffa8faef81deb09d531816d9e1efa446d2ed44beec735ee5';
/** Without EdDSA, which wants OpenSSL 3.2; against the OpenSSL of this machine. */
const FEATURES = 'minimal,kryoptic-lib/dynamic';
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** What is missing or failed, in words. */
export async function tryTokens(): Promise<readonly string[]> {
  const missing = [buildKryoptic(), nss.missing, opencryptoki.missing, tpm2.missing].filter((why) => why !== undefined);
  const flags = ['--disable-warning=ExperimentalWarning', '--experimental-vm-modules'];
  const jest = join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js');
  const suite = spawn(process.execPath, [...flags, jest, 'test/keys/tokens'], { cwd: ROOT, stdio: 'inherit' });
  const exit = await new Promise<number | null>((done) => suite.once('close', done));
  return exit === 0 ? missing : [...missing, `the suite ended with ${exit}`];
}

/** Why it could not be built; undefined when it is there. */
function buildKryoptic(): string | undefined {
  if (existsSync(KRYOPTIC_LIBRARY)) return undefined;
  console.log(`building kryoptic ${VERSION}: some minutes`);
  const source = join(KRYOPTIC_FOLDER, 'source');
  mkdirSync(join(source, 'src'), { recursive: true });
  writeFileSync(join(source, 'src', 'lib.rs'), '');
  const manifest = `[package]\nname = "source"\nversion = "0.0.0"\nedition = "2024"\n\n[dependencies]\nkryoptic = "=${VERSION}"\n`;
  writeFileSync(join(source, 'Cargo.toml'), manifest);
  const described = cargo(['metadata', '--format-version', '1', '--manifest-path', join(source, 'Cargo.toml')]);
  if (described.why !== undefined) return `kryoptic: ${described.why}`;
  const { packages } = JSON.parse(described.out) as { packages: ReadonlyArray<{ name: string; manifest_path: string }> };
  const crate = packages.find(({ name }) => name === 'kryoptic')?.manifest_path ?? '';
  if (sha256Hex(readFileSync(join(dirname(crate), 'Cargo.lock'))) !== LOCK)
    return 'kryoptic: its lock file is another one than is known here';
  const target = join(KRYOPTIC_FOLDER, 'target');
  const how = ['--release', '--locked', '--no-default-features', '--features', FEATURES];
  const built = cargo(['build', ...how, '--manifest-path', crate, '--target-dir', target]);
  if (built.why !== undefined) return `kryoptic: ${built.why}`;
  copyFileSync(join(target, 'release', 'libkryoptic_pkcs11.so'), `${KRYOPTIC_LIBRARY}.new`);
  renameSync(`${KRYOPTIC_LIBRARY}.new`, KRYOPTIC_LIBRARY);
  return undefined;
}

function cargo(args: readonly string[]): { readonly out: string; readonly why?: string } {
  const { status, stdout, error } = spawnSync('cargo', args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (error !== undefined) return { out: '', why: 'it is built with cargo 1.85 or newer, which is not on this machine' };
  return status === 0 ? { out: stdout } : { out: stdout, why: `cargo ${args[0]} ended with ${status}` };
}
