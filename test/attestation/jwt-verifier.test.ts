/** Tokens as evidence: what is believed, and every way we know to make a verifier believe more. */
import { createPublicKey, createSign, generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { calculateJwkThumbprint, type JWTPayload } from 'jose';
import type { KeySets } from '../../src/attestation/jwt/key-sets.ts';
import { createJwtVerifier } from '../../src/attestation/jwt/verifier.ts';
import type { VerificationContext } from '../../src/attestation/port.ts';
import { isRefusal, type JwtAnchor, jwtNonce } from '../../src/domain/evidence.ts';
import type { PublicJwk } from '../../src/domain/jwk.ts';
import { evidenceVerifierContract } from '../contract/evidence-verifier.ts';
import * as issuer from './token-issuer.ts';

const { AUDIENCE, at, BEARER_ANCHOR, contextWith, honestClaims, ISSUER, KEY, NONCE_ANCHOR, rawHeader, rawToken, SUBJECT, tokenOf } = issuer;

/** Nothing here may open a connection. */
const offline: KeySets = { keysOf: () => Promise.reject(new Error('a key set was asked for')) };
const verifier = createJwtVerifier(offline);
const verify = (token: string, context: VerificationContext = contextWith()) => verifier.verify({ token }, context);

async function codeOf(token: string | Promise<string>, context?: VerificationContext): Promise<string> {
  const answer = await verify(await token, context);
  return isRefusal(answer) ? answer.code : 'verified';
}
const codeWith = (claims: JWTPayload, anchor: Partial<JwtAnchor> = {}) =>
  codeOf(tokenOf(honestClaims(claims)), contextWith({ ...NONCE_ANCHOR, ...anchor }));

async function claimsOf(token: string, context = contextWith()) {
  const answer = await verify(token, context);
  if (isRefusal(answer)) throw new Error(`${answer.code}: ${answer.detail}`);
  return answer;
}

evidenceVerifierContract('jwt', async () => ({ verifier, body: { token: await tokenOf() }, context: contextWith() }));

describe('a token that answers our nonce', () => {
  test('is fresh and key-bound, and its mapped claims are facts', async () => {
    expect(await claimsOf(await tokenOf())).toEqual({
      kind: 'jwt',
      attester: issuer.ENROLLED,
      proved: { fresh: true, keyBound: true, hardware: false, tee: false },
      facts: { image: 'sha256:aa', debug: 'disabled' },
      endorsements: [],
    });
  });

  test('whose nonce or audience is no text is refused, whatever it is: members that no language converts too', async () => {
    for (const strange of [{ toString: 1, valueOf: 1 }, [{ toString: 'x' }], [[{ valueOf: null, toString: null }]], 7, null, true]) {
      expect(await codeOf(await tokenOf(honestClaims({ eat_nonce: strange })))).toBe('evidence_binding_mismatch');
      expect(await codeOf(await tokenOf(honestClaims({ aud: strange as never })))).toBe('evidence_binding_mismatch');
    }
  });

  test('may answer several, ours among them, and be shown again: the challenge is what is spent', async () => {
    const context = contextWith();
    const token = await tokenOf(honestClaims({ eat_nonce: ['someone-elses', jwtNonce(issuer.BINDING)] }));
    expect(await codeOf(token, context)).toBe('verified');
    expect(await codeOf(token, context)).toBe('verified');
  });

  test('is hardware or a TEE only where the anchor says so', async () => {
    const context = contextWith({ ...NONCE_ANCHOR, hardware: true, tee: true });
    expect((await claimsOf(await tokenOf(), context)).proved).toEqual({ fresh: true, keyBound: true, hardware: true, tee: true });
    const says = honestClaims({ hardware: true, tee: true, proved: { tee: true } });
    expect((await claimsOf(await tokenOf(says))).proved).toMatchObject({ hardware: false, tee: false });
  });

  const nonce = jwtNonce(issuer.BINDING);
  test.each<[string, unknown]>([
    ['another challenge', jwtNonce(new Uint8Array(3))],
    ['none', undefined],
    ['the nonce with padding', `${nonce}=`],
    ['the nonce inside a longer text', `x${nonce}`],
    ['the nonce in an object', { nonce }],
    ['the nonce two lists deep', [[nonce]]],
    ['an empty list', []],
    ['a number', 7],
  ])('is refused with %s as its nonce', async (_what, wrong) => {
    const answer = await verify(await tokenOf(honestClaims({ eat_nonce: wrong })));
    expect(answer).toMatchObject({ refused: true, code: 'evidence_binding_mismatch', subject: { name: 'web' } });
  });
});

describe('a token without a nonce', () => {
  const bearer = () => contextWith(BEARER_ANCHOR);

  test('is identity only', async () => {
    expect((await claimsOf(await tokenOf(), bearer())).proved).toEqual({ fresh: false, keyBound: false, hardware: false, tee: false });
  });

  test('is good once: a second time it is token_spent, also when asked at the same moment', async () => {
    const context = bearer();
    const token = await tokenOf();
    const answers = await Promise.all([1, 2, 3].map(() => codeOf(token, context)));
    expect(answers.sort()).toEqual(['token_spent', 'token_spent', 'verified']);
    expect(await codeOf(tokenOf(honestClaims({ jti: 'id-2' })), context)).toBe('verified');
  });

  test.each([undefined, '', 7, null, 'a\u0000b', 'e\u0301', 'x'.repeat(257)])('needs an id that can be remembered: not %j', async (jti) => {
    expect(await codeOf(tokenOf(honestClaims({ jti } as JWTPayload)), bearer())).toBe('evidence_malformed');
  });

  test('is not spent by one that does not verify, or that nobody enrolled', async () => {
    const context = bearer();
    const token = await tokenOf();
    expect(await codeOf(`${token.slice(0, -8)}AAAAAAAA`, context)).toBe('evidence_signature_invalid');
    expect(await codeOf(token, { ...context, attester: async () => undefined })).toBe('attester_key_unknown');
    expect(await codeOf(token, context)).toBe('verified');
  });
});

describe('a token that confirms a key (cnf)', () => {
  const tlsJwk = issuer.TLS.publicKey.export({ format: 'jwk' });
  const confirming = (cnf: unknown, anchor: JwtAnchor = BEARER_ANCHOR) => codeOf(tokenOf(honestClaims({ cnf })), contextWith(anchor));

  test('is key-bound when it is the TLS key, by thumbprint or as a whole, and no fresher for it', async () => {
    const jkt = await calculateJwkThumbprint(tlsJwk);
    for (const cnf of [{ jkt }, { jwk: tlsJwk }, { jkt, jwk: tlsJwk }]) {
      const { proved } = await claimsOf(await tokenOf(honestClaims({ cnf })), contextWith(BEARER_ANCHOR));
      expect(proved).toEqual({ fresh: false, keyBound: true, hardware: false, tee: false });
    }
  });

  test('is good once like every token without a nonce', async () => {
    const context = contextWith(BEARER_ANCHOR);
    const token = await tokenOf(honestClaims({ cnf: { jwk: tlsJwk } }));
    expect([await codeOf(token, context), await codeOf(token, context)]).toEqual(['verified', 'token_spent']);
  });

  test('is refused when it is another key, even beside the right nonce', async () => {
    const strangers = issuer.makeKey('x').publicKey.export({ format: 'jwk' });
    const jkt = await calculateJwkThumbprint(strangers);
    for (const cnf of [{ jkt }, { jwk: strangers }, { jkt: await calculateJwkThumbprint(tlsJwk), jwk: strangers }]) {
      expect(await confirming(cnf)).toBe('evidence_binding_mismatch');
      expect(await confirming(cnf, NONCE_ANCHOR)).toBe('evidence_binding_mismatch');
    }
  });

  test('is refused when the TLS key is none that a token can name', async () => {
    const jkt = await calculateJwkThumbprint(tlsJwk);
    const { publicKey: pss } = generateKeyPairSync('rsa-pss', {
      modulusLength: 2048,
      hashAlgorithm: 'sha256',
      mgf1HashAlgorithm: 'sha256',
    });
    const { publicKey: ed448 } = generateKeyPairSync('ed448');
    const { publicKey: short } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    for (const publicKey of [pss, ed448, short]) {
      const context = contextWith(BEARER_ANCHOR, { spki: issuer.spkiOf({ publicKey }) });
      for (const cnf of [{ jkt }, { jwk: {} }, { jkt: undefined }]) {
        expect(await codeOf(tokenOf(honestClaims({ cnf })), context)).toBe('evidence_binding_mismatch');
      }
    }
  });

  test.each<[string, unknown]>([
    ['a certificate, which does not reach this far', { 'x5t#S256': 'AAAA' }],
    ['a way not known', { kid: 'tls' }],
    ['nothing', {}],
    ['text', 'jkt'],
    ['null', null],
    ['a list', ['jkt']],
    ['no thumbprint', { jkt: undefined, jwk: {} }],
    ['a thumbprint that is no text', { jkt: 7 }],
  ])('is refused when it names %s', async (_what, cnf) => {
    expect(await confirming(cnf)).toBe('evidence_binding_mismatch');
  });
});

describe('the algorithm is the issuer’s choice, never the token’s', () => {
  const spki = KEY.publicKey.export({ type: 'spki', format: 'pem' });
  const rsa = issuer.makeKey('rsa-1', 'RS256');
  const rsaAnchor = contextWith({ ...NONCE_ANCHOR, jwks: { keys: [rsa.jwk] }, algorithms: ['RS256', 'PS256'] });

  test('alg none, with and without a signature', async () => {
    for (const alg of ['none', 'None', 'nOnE']) {
      const [header, payload, signature] = rawToken(rawHeader({ alg }), JSON.stringify(honestClaims())).split('.');
      expect(await codeOf(`${header}.${payload}.`)).toBe('evidence_malformed');
      expect(await codeOf(`${header}.${payload}.${signature}`)).toBe('evidence_signature_invalid');
    }
  });

  test('HS256 with the public key as the secret, in each of its spellings', async () => {
    const der = KEY.publicKey.export({ type: 'spki', format: 'der' });
    for (const secret of [spki, der, JSON.stringify(KEY.jwk), KEY.jwk.x ?? '']) {
      expect(await codeOf(issuer.hmacToken(secret as string))).toBe('evidence_signature_invalid');
    }
  });

  test('an algorithm the anchor does not list, or one that is not the key’s', async () => {
    expect(await codeOf(tokenOf(honestClaims(), {}, rsa), rsaAnchor)).toBe('verified');
    expect(await codeOf(tokenOf(honestClaims(), {}, { ...rsa, alg: 'PS256' }), rsaAnchor)).toBe('verified');
    expect(await codeOf(tokenOf(honestClaims(), {}, rsa))).toBe('evidence_signature_invalid');
    const only = (alg: string) => contextWith({ ...NONCE_ANCHOR, jwks: { keys: [{ ...rsa.jwk, alg }] }, algorithms: ['RS256', 'PS256'] });
    expect(await codeOf(tokenOf(honestClaims(), {}, { ...rsa, alg: 'PS256' }), only('RS256'))).toBe('endorsement_untrusted');
    const both = contextWith({ ...NONCE_ANCHOR, algorithms: ['ES256', 'RS256', 'ES384'] });
    expect(await codeOf(tokenOf(honestClaims(), { kid: KEY.kid }, { ...rsa, kid: KEY.kid }), both)).toBe('endorsement_untrusted');
    expect(await codeOf(tokenOf(honestClaims(), { kid: KEY.kid }, issuer.makeKey('p384', 'ES384')), both)).toBe('endorsement_untrusted');
  });

  test('Ed25519 where it is listed', async () => {
    const key = issuer.makeKey('ed', 'EdDSA');
    const context = contextWith({ ...NONCE_ANCHOR, jwks: { keys: [key.jwk] }, algorithms: ['EdDSA'] });
    expect(await codeOf(tokenOf(honestClaims(), {}, key), context)).toBe('verified');
  });

  test('a signature by somebody else, an altered claims set, an altered header, an all-zero signature', async () => {
    const [header = '', payload = '', signature = ''] = (await tokenOf()).split('.');
    const other = Buffer.from(JSON.stringify(honestClaims({ sub: 'admin' }))).toString('base64url');
    const head = Buffer.from(rawHeader({ extra: 1 })).toString('base64url');
    for (const token of [
      await tokenOf(honestClaims(), {}, { ...issuer.makeKey('x'), kid: KEY.kid }),
      `${header}.${other}.${signature}`,
      `${head}.${payload}.${signature}`,
      `${header}.${payload}.${'A'.repeat(86)}`,
      `${header}.${payload}.${signature.slice(0, 40)}`,
    ])
      expect(await codeOf(token)).toBe('evidence_signature_invalid');
  });
});

describe('the key is one of the anchor’s', () => {
  test('a header that brings a key or an address of one is refused, and nobody is asked', async () => {
    const evil = issuer.makeKey(KEY.kid);
    for (const hint of [
      { jwk: evil.jwk },
      { jku: 'https://evil.test/keys' },
      { x5u: 'https://evil.test/cert' },
      { x5c: ['AAAA'] },
      { jku: null },
    ]) {
      const payload = JSON.stringify(honestClaims());
      expect(await codeOf(rawToken(rawHeader(hint), payload, evil))).toBe('evidence_malformed');
      expect(await codeOf(rawToken(rawHeader(hint), payload))).toBe('evidence_malformed');
      // An anchor that says to ignore it gets exactly that: the anchor's key counts, the token's does not.
      const ignoring = contextWith({ ...NONCE_ANCHOR, headerKeys: 'ignored' });
      expect(await codeOf(rawToken(rawHeader(hint), payload, evil), ignoring)).toBe('evidence_signature_invalid');
      expect(await codeOf(rawToken(rawHeader(hint), payload), ignoring)).toBe('verified');
    }
  });

  test.each(['../../../dev/null', 'key-1\u0000', "key-1' OR 1=1", '__proto__', 'constructor', 'KEY-1', ' key-1', 'x'.repeat(512)])(
    'kid %j names none',
    async (kid) => expect(await codeOf(tokenOf(honestClaims(), { kid }))).toBe('endorsement_untrusted'),
  );

  test.each([7, null, ['key-1'], {}, '', 'x'.repeat(513)])('kid %j is none', async (kid) =>
    expect(await codeOf(rawToken(rawHeader({ kid }), JSON.stringify(honestClaims())))).toBe('evidence_malformed'),
  );

  test('no kid will do while one key alone fits, and not with two', async () => {
    const other = issuer.makeKey('key-2');
    const nameless = () => tokenOf(honestClaims(), { kid: undefined });
    const sets = (...keys: PublicJwk[]) => contextWith({ ...NONCE_ANCHOR, jwks: { keys } });
    expect(await codeOf(nameless(), sets(KEY.jwk))).toBe('verified');
    expect(await codeOf(nameless(), sets(KEY.jwk, other.jwk))).toBe('endorsement_untrusted');
    expect(await codeOf(tokenOf(), sets(other.jwk, KEY.jwk))).toBe('verified');
    const { kid: _kid, ...unnamed } = KEY.jwk;
    expect(await codeOf(tokenOf(), sets(unnamed))).toBe('verified');
    expect(await codeOf(tokenOf(), sets(unnamed, other.jwk))).toBe('endorsement_untrusted');
  });

  test('two keys of one kid are none', async () => {
    const twin = { ...issuer.makeKey('x').jwk, kid: KEY.kid };
    expect(await codeOf(tokenOf(), contextWith({ ...NONCE_ANCHOR, jwks: { keys: [KEY.jwk, twin] } }))).toBe('endorsement_untrusted');
  });

  test('a point off its curve, RSA of 1024 bits, a key for encryption are none', async () => {
    const off = { ...KEY.jwk, y: KEY.jwk.x };
    const short = issuer.makeKey('short', 'RS256', 1024);
    expect(await codeOf(tokenOf(), contextWith({ ...NONCE_ANCHOR, jwks: { keys: [off] } }))).toBe('endorsement_untrusted');
    const weak = contextWith({ ...NONCE_ANCHOR, jwks: { keys: [short.jwk] }, algorithms: ['RS256'] });
    const { privateKey } = short;
    const parts = [rawHeader({ alg: 'RS256', kid: 'short' }), JSON.stringify(honestClaims())];
    const input = parts.map((part) => Buffer.from(part).toString('base64url')).join('.');
    const signature = createSign('sha256').update(input).sign(privateKey).toString('base64url');
    expect(await codeOf(`${input}.${signature}`, weak)).toBe('endorsement_untrusted');
    // A small exponent, as old libraries made them.
    const cube = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }).publicKey.export({ format: 'jwk' });
    expect(createPublicKey({ key: cube, format: 'jwk' }).asymmetricKeyDetails?.publicExponent).toBe(3n);
    const cubic = contextWith({ ...NONCE_ANCHOR, jwks: { keys: [cube as unknown as PublicJwk] }, algorithms: ['RS256'] });
    expect(await codeOf(`${input}.${signature}`, cubic)).toBe('endorsement_untrusted');
  });
});

describe('the issuer is exactly the anchor’s', () => {
  test.each([`${ISSUER}/`, ISSUER.toUpperCase(), `${ISSUER} `, 'https://issuer.test', '', 'https://issuer.test/tenant/../tenant'])(
    'not %j',
    async (iss) => expect(await codeWith({ iss })).toBe('endorsement_untrusted'),
  );
  test.each<[string, object]>([
    ['missing', { iss: undefined }],
    ['a list with it', { iss: [ISSUER] }],
    ['an object', { iss: { toString: ISSUER } }],
  ])('%s', async (_what, over) => expect(await codeWith(over as JWTPayload)).toBe('endorsement_untrusted'));
  test('with two anchors for one issuer, neither counts', async () => {
    expect(await codeOf(tokenOf(), contextWith(NONCE_ANCHOR, { anchors: [NONCE_ANCHOR, BEARER_ANCHOR] }))).toBe('endorsement_untrusted');
  });
  test('with no anchor, or one for TPMs, nothing counts', async () => {
    const tpm = { kind: 'tpm2', name: 'root', certificate: 'AAAA' } as const;
    for (const anchors of [[], [tpm]])
      expect(await codeOf(tokenOf(), contextWith(NONCE_ANCHOR, { anchors }))).toBe('endorsement_untrusted');
  });
});

describe('the audience is ours', () => {
  test('alone or among others', async () => {
    expect(await codeWith({ aud: ['other', AUDIENCE] })).toBe('verified');
  });
  test.each<[string, unknown]>([
    ['another', 'other-vault'],
    ['none', undefined],
    ['an empty list', []],
    ['a longer one', `${AUDIENCE}.example`],
    ['in capitals', AUDIENCE.toUpperCase()],
    ['a list in a list', [[AUDIENCE]]],
    ['an object', { [AUDIENCE]: true }],
  ])('not %s', async (_what, aud) => expect(await codeWith({ aud } as JWTPayload)).toBe('evidence_binding_mismatch'));
  test('an anchor with a nonce may name none: the nonce names the vault', async () => {
    const { audience: _audience, ...anchor } = NONCE_ANCHOR;
    expect(await codeOf(tokenOf(honestClaims({ aud: undefined } as unknown as JWTPayload)), contextWith(anchor))).toBe('verified');
  });
});

describe('the token is good now, by the clock of the database', () => {
  test.each<[string, object, string]>([
    ['30 s after its end', { exp: at(-29) }, 'verified'],
    ['later', { exp: at(-30) }, 'evidence_expired'],
    ['long ago', { exp: at(-86_400) }, 'evidence_expired'],
    ['30 s before its beginning', { nbf: at(30) }, 'verified'],
    ['earlier', { nbf: at(31) }, 'evidence_expired'],
    ['issued in the future', { iat: at(31) }, 'evidence_expired'],
    ['without exp', { exp: undefined }, 'evidence_malformed'],
    ['exp as text', { exp: String(at(300)) }, 'evidence_malformed'],
    ['exp as a list', { exp: [at(300)] }, 'evidence_malformed'],
    ['exp null', { exp: null }, 'evidence_malformed'],
    ['exp in milliseconds', { exp: at(300) * 1000 }, 'evidence_malformed'],
    ['nbf as text', { nbf: '0' }, 'evidence_malformed'],
    ['iat negative', { iat: -1 }, 'evidence_malformed'],
    ['without nbf and iat', { nbf: undefined, iat: undefined }, 'verified'],
    ['with a fraction of a second', { exp: at(300) + 0.5 }, 'verified'],
  ])('%s', async (_what, over, code) => {
    const payload = JSON.stringify({ ...honestClaims(), ...over });
    expect(await codeOf(rawToken(rawHeader(), payload))).toBe(code);
  });

  test('exp beyond all numbers is no time', async () => {
    const payload = JSON.stringify(honestClaims()).replace(String(at(300)), '1e999');
    expect(await codeOf(rawToken(rawHeader(), payload))).toBe('evidence_malformed');
  });

  test('not older than the anchor allows', async () => {
    const anchor = { maxAgeSeconds: 60 };
    expect(await codeWith({ iat: at(-89) }, anchor)).toBe('verified');
    expect(await codeWith({ iat: at(-90) }, anchor)).toBe('evidence_expired');
    expect(await codeWith({ iat: undefined } as unknown as JWTPayload, anchor)).toBe('evidence_malformed');
  });
});

describe('read in one way only', () => {
  const payload = JSON.stringify(honestClaims());
  test.each<[string, string, string | Uint8Array]>([
    ['crit', rawHeader({ crit: ['b64'], b64: true }), payload],
    ['crit that names an unknown member', rawHeader({ crit: ['exp'] }), payload],
    ['an empty crit', rawHeader({ crit: [] }), payload],
    ['b64 without crit', rawHeader({ b64: false }), payload],
    ['alg twice', `{"alg":"none","alg":"ES256","kid":"${KEY.kid}"}`, payload],
    ['alg twice, once escaped', `{"\\u0061lg":"none","alg":"ES256","kid":"${KEY.kid}"}`, payload],
    ['sub twice', rawHeader(), payload.replace('{', '{"sub":"admin",')],
    ['sub twice, once escaped', rawHeader(), payload.replace('{', '{"s\\u0075b":"admin",')],
    ['a nested member twice', rawHeader(), payload.replace('"digest":', '"digest":"sha256:bb","digest":')],
    ['a claims set that is a list', rawHeader(), `[${payload}]`],
    ['a claims set that is text', rawHeader(), '"iss"'],
    ['a claims set that is null', rawHeader(), 'null'],
    ['a claims set with a byte order mark', rawHeader(), `\ufeff${payload}`],
    ['a claims set that is not UTF-8', rawHeader(), Buffer.from(payload.replace('disabled', '\u00ff'), 'latin1')],
    ['a claims set nested deep', rawHeader(), payload.replace('{', `{"x":${'['.repeat(2_000)}${']'.repeat(2_000)},`)],
    ['a claims set with a comment', rawHeader(), `${payload}// end`],
    ['a header that is no JSON', 'ES256', payload],
    ['a header without alg', '{"kid":"key-1"}', payload],
    ['another typ', rawHeader({ typ: 'at+jwt' }), payload],
    ['typ that is no text', rawHeader({ typ: 7 }), payload],
  ])('%s is refused', async (_what, header, claims) => {
    expect(await codeOf(rawToken(header, claims))).toBe('evidence_malformed');
  });

  test('equal names in different objects, and texts that look like members, are no duplicates', async () => {
    const odd = honestClaims({ a: { sub: 1 }, b: [{ sub: 1 }, { sub: 2 }], c: '{"sub":1,"sub":2}', d: 'x\\":' });
    expect(await codeOf(tokenOf(odd))).toBe('verified');
  });

  test('typ: JWT in any case, or none; an anchor may want another, and then it must be there', async () => {
    for (const typ of ['jwt', 'JWT', 'application/jwt', undefined]) expect(await codeOf(tokenOf(honestClaims(), { typ }))).toBe('verified');
    const eat = contextWith({ ...NONCE_ANCHOR, typ: 'eat+jwt' });
    expect(await codeOf(tokenOf(honestClaims(), { typ: 'application/EAT+jwt' }), eat)).toBe('verified');
    for (const typ of ['JWT', undefined]) expect(await codeOf(tokenOf(honestClaims(), { typ }), eat)).toBe('evidence_malformed');
  });

  test('no part is spelled another way, and none is missing or too many', async () => {
    const token = await tokenOf();
    const [header, claims, signature = ''] = token.split('.');
    const stray = signature.slice(0, -1) + String.fromCharCode(signature.charCodeAt(signature.length - 1) + 1);
    for (const wrong of [
      `${token}=`,
      ` ${token}`,
      `${token}\n`,
      `${header}.${claims}`,
      `${token}.${signature}`,
      `.${claims}.${signature}`,
      `${header}..${signature}`,
      token.replaceAll('-', '+').replaceAll('_', '/').concat('+'),
      `${header}.${claims}.${stray}`,
      JSON.stringify({ payload: claims, protected: header, signature }),
      'x'.repeat(65_537),
    ])
      expect(await codeOf(wrong)).toBe('evidence_malformed');
  });

  test('a token of 64 KiB is read, a larger one is not', async () => {
    const fill = (length: number) => tokenOf(honestClaims({ fill: 'x'.repeat(length) }));
    expect(await codeOf(fill(48_000))).toBe('verified');
    expect(await codeOf(fill(49_200))).toBe('evidence_malformed');
  });
});

describe('who it is about', () => {
  test.each<[string, unknown, string]>([
    ['somebody not enrolled', 'system:serviceaccount:prod:other', 'attester_key_unknown'],
    ['other case', SUBJECT.toUpperCase(), 'attester_key_unknown'],
    ['nobody', undefined, 'evidence_malformed'],
    ['an empty name', '', 'evidence_malformed'],
    ['a number', 7, 'evidence_malformed'],
    ['a list', [SUBJECT], 'evidence_malformed'],
    ['a lone surrogate', `${SUBJECT}\ud800`, 'evidence_malformed'],
    ['a control character', `${SUBJECT}\u0000`, 'evidence_malformed'],
    ['a zero width space', `${SUBJECT}\u200b`, 'attester_key_unknown'],
    ['a text that is not in its normal form', 'e\u0301', 'evidence_malformed'],
    ['a very long name', 'x'.repeat(513), 'evidence_malformed'],
  ])('%s', async (_what, sub, code) => {
    expect(await codeOf(rawToken(rawHeader(), JSON.stringify({ ...honestClaims(), sub })))).toBe(code);
  });

  test('an attester that the store finds under the key but that is somebody else is not it', async () => {
    for (const wrong of [
      { ...issuer.ENROLLED, subject: 'other' },
      { ...issuer.ENROLLED, issuer: 'https://other.test' },
    ]) {
      expect(await codeOf(tokenOf(), contextWith(NONCE_ANCHOR, { attester: async () => wrong }))).toBe('attester_key_unknown');
    }
  });

  test('may stand in another claim, if the anchor says so', async () => {
    const nested = { 'kubernetes.io': { serviceaccount: { name: SUBJECT } } };
    const anchor = { subjectClaim: ['kubernetes.io', 'serviceaccount', 'name'] };
    expect(await codeWith({ ...nested, sub: 'x' }, anchor)).toBe('verified');
    expect(await codeWith({ sub: SUBJECT }, anchor)).toBe('evidence_malformed');
  });
});

describe('mapped claims', () => {
  const factsFor = async (claims: object, map: JwtAnchor['claims']) => {
    const token = rawToken(rawHeader(), JSON.stringify({ ...honestClaims(), ...claims }));
    const answer = await verify(token, contextWith({ ...NONCE_ANCHOR, claims: map }));
    return isRefusal(answer) ? answer.code : answer.facts;
  };

  test('are text, numbers and booleans; what is missing or null is no fact', async () => {
    const claims = { a: 'x', b: 42, c: -1.5, d: false, e: null, f: { g: 'deep' } };
    const map = { a: ['a'], b: ['b'], c: ['c'], d: ['d'], e: ['e'], g: ['f', 'g'], h: ['f', 'nope'], i: ['a', 'length'] };
    expect(await factsFor(claims, map)).toEqual({ a: 'x', b: '42', c: '-1.5', d: 'false', g: 'deep' });
  });

  test.each<[string, unknown]>([
    ['a list', ['x']],
    ['an object', { x: 1 }],
    ['an empty text', ''],
    ['a long text', 'x'.repeat(257)],
    ['a line break', 'a\nb'],
    ['a lone surrogate', '\udc00'],
    ['a number that was rounded', 2 ** 53],
  ])('that are %s refuse the token: a policy may forbid by them', async (_what, value) => {
    expect(await factsFor({ role: value }, { role: ['role'] })).toBe('evidence_malformed');
  });

  test('never come from what every object has', async () => {
    const map = {
      a: ['__proto__'],
      b: ['constructor', 'name'],
      c: ['toString'],
      d: ['__proto__', 'role'],
      e: ['submods', '__proto__', 'x'],
    };
    expect(await factsFor({}, map)).toEqual({});
    const token = rawToken(rawHeader(), JSON.stringify(honestClaims()).replace('{', '{"__proto__":{"role":"admin"},'));
    const answer = await claimsOf(token, contextWith({ ...NONCE_ANCHOR, claims: { role: ['role'], own: ['__proto__', 'role'] } }));
    expect(answer.facts).toEqual({ own: 'admin' }); // its own member of that odd name, which is what the anchor asks for
  });
});
