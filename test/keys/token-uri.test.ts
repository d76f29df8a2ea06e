/** Which token and where its PIN is, as settings: everything that is not honoured is refused, and no refusal shows a PIN. */
import { describe, expect, test } from '@jest/globals';
import { codeOf, VaultError } from '../../src/domain/errors.ts';
import { linkConfigOf, parsePkcs11Settings } from '../../src/keys/pkcs11/settings.ts';
import { parseTokenUri } from '../../src/keys/pkcs11/token-uri.ts';

function refusal(work: () => unknown): string {
  try {
    work();
    return 'accepted';
  } catch (error) {
    return `${codeOf(error)}: ${error instanceof VaultError ? error.detail : ''}`;
  }
}

describe('a token URI (RFC 7512)', () => {
  test.each([
    ['pkcs11:token=weight-vault', { label: 'weight-vault' }, undefined],
    ['pkcs11:token=The%20Software%20PKCS%2311%20Softtoken', { label: 'The Software PKCS#11 Softtoken' }, undefined],
    [
      'pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=71fed8d49d024c27;token=wv',
      { model: 'SoftHSM v2', manufacturer: 'SoftHSM project', serial: '71fed8d49d024c27', label: 'wv' },
      undefined,
    ],
    ['pkcs11:serial=%C3%BC', { serial: 'ü' }, undefined],
    ["pkcs11:token=a:b[c]@!$'()*+,=&", { label: "a:b[c]@!$'()*+,=&" }, undefined],
    ['pkcs11:token=wv?pin-source=file:/run/wv/pin', { label: 'wv' }, '/run/wv/pin'],
    ['pkcs11:token=wv?pin-source=file:///run/wv/pin', { label: 'wv' }, '/run/wv/pin'],
    ['pkcs11:token=wv?pin-source=/run/wv/a%20pin', { label: 'wv' }, '/run/wv/a pin'],
  ])('%s', (uri, selector, pinFile) => {
    expect(parseTokenUri(uri)).toEqual({ selector, ...(pinFile !== undefined && { pinFile }) });
  });

  test.each([
    ['token=wv', /does not begin with pkcs11:/],
    ['PKCS11:token=wv', /does not begin/],
    ['pkcs11:', /names no token/],
    ['pkcs11:token=', /no token has/],
    ['pkcs11:token', /attribute without a value/],
    ['pkcs11:token=a;;serial=1', /attribute without a value/],
    ['pkcs11:=a', /attribute without a value/],
    ['pkcs11:token=a;token=b', /names token twice/],
    [`pkcs11:token=${'a'.repeat(33)}`, /no token has/],
    [`pkcs11:serial=${'1'.repeat(17)}`, /no token has/],
    ['pkcs11:token=a b', /percent-encoded/],
    ['pkcs11:token=a%2', /percent-encoded/],
    ['pkcs11:token=%FF', /not UTF-8/],
    ['pkcs11:token=a;object=kek', /names a token here, not a key/],
    ['pkcs11:token=a;id=%01', /not a key/],
    ['pkcs11:slot-id=3', /slot number changes/],
    ['pkcs11:token=a;x-vendor=1', /only token, serial, manufacturer and model/],
    ['pkcs11:token=a;__proto__=1', /only token|no known name/],
    ['pkcs11:token=a?b?c', /two question marks/],
    ['pkcs11:token=a?pin-value=secret-pin-1', /holds a PIN/],
    ['pkcs11:token=a?pin-source=|/usr/bin/pinentry', /pin-source/],
    ['pkcs11:token=a?pin-source=file:pin', /absolute path/],
    ['pkcs11:token=a?pin-source=file://host/pin', /absolute path/],
    ['pkcs11:token=a?pin-source=https://host/pin', /absolute path/],
    ['pkcs11:token=a?pin-source=/a&pin-source=/b', /twice/],
    ['pkcs11:token=a?module-path=/usr/lib/x.so', /setting module/],
    ['pkcs11:token=a?secret-pin-1=x', /in its query/],
    [`pkcs11:token=a${'?'.padEnd(3000, 'x')}`, /longer than/],
  ])('refuses %s', (uri, why) => {
    const said = refusal(() => parseTokenUri(uri));
    expect(said).toMatch(/^configuration_invalid/);
    expect(said).toMatch(why);
    expect(said).not.toContain('secret-pin-1=');
    expect(said).not.toMatch(/=secret-pin/);
  });
});

describe('the settings of a token', () => {
  const base = { module: '/usr/lib/hsm.so', tokenLabel: 'wv', pinFile: '/run/pin' };

  test('have defaults for everything that is not said', () => {
    expect(linkConfigOf(parsePkcs11Settings(base))).toEqual({
      module: base.module,
      token: { label: 'wv' },
      pin: { file: '/run/pin' },
      sessions: 4,
      calls: 'inline',
      limits: { queue: 256, deadlineMs: 5_000 },
      prefer: {},
      allowExtractable: false,
    });
  });

  test.each([
    ['no module', { module: undefined }, /module is missing/],
    ['a relative module', { module: 'hsm.so' }, /module is not an absolute path/],
    ['no name', { tokenLabel: undefined }, /named by label, serial or URI/],
    ['a name twice', { tokenUri: 'pkcs11:token=wv' }, /tokenUri contradicts/],
    ['a PIN twice', { pinVariable: 'PIN' }, /exclude each other/],
    ['a PIN in the URI too', { tokenLabel: undefined, tokenUri: 'pkcs11:token=a?pin-source=/b' }, /exclude each other/],
    ['a PIN from standard input', { pinFile: undefined, pinDescriptor: 0 }, /descriptor from 3 to 9/],
    ['no sessions', { sessions: 0 }, /sessions/],
    ['too many sessions', { sessions: 65 }, /sessions/],
    ['half a session', { sessions: 1.5 }, /sessions/],
    ['another style of calls', { calls: 'async' }, /inline or threads/],
    ['tier 4', { wrapTier: 4 }, /wrapTier/],
    ['another signature', { signature: 'rsa' }, /signature/],
    ['a danger by another word', { dangerouslyAllowExtractableKek: 'yes' }, /dangerouslyAllowExtractableKek/],
    ['a deadline of nothing', { deadlineMs: 0 }, /deadlineMs/],
  ])('refuse %s', (_, change, why) => {
    const said = refusal(() => parsePkcs11Settings({ ...base, ...change }));
    expect(said).toMatch(/^configuration_invalid/);
    expect(said).toMatch(why);
  });
});
