// The adapter itself, in this process, beside a keeper on the same SoftHSM token.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { fromHex, sha256, toHex, utf8 } from '../../src/domain/bytes.ts';
import type { KeyId } from '../../src/domain/ids.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import { decryptGcm, encryptGcm } from '../../src/keys/pkcs11/gcm.ts';
import { generateKey } from '../../src/keys/pkcs11/generate.ts';
import { findKek } from '../../src/keys/pkcs11/key-objects.ts';
import { CK, type Handle, loadModule, type Pkcs11Module, type Template } from '../../src/keys/pkcs11/module.ts';
import { withPin } from '../../src/keys/pkcs11/pin-source.ts';
import { vaultErrorOf } from '../../src/keys/pkcs11/result-codes.ts';
import { inWords, selfTest } from '../../src/keys/pkcs11/self-test.ts';
import { findToken } from '../../src/keys/pkcs11/token.ts';
import { softHsmToken, startTestKeeper, startTokenKeeper, type TestKeeper } from './keeper-harness.ts';

let keeper: TestKeeper;
let module: Pkcs11Module;
let slot: Handle;
let session: Handle;
const ref = (id: string) => ({ id: id as KeyId, version: 1 });

beforeAll(async () => {
  keeper = await startTestKeeper();
  module = loadModule(keeper.hsm.module);
  module.C_Initialize({ flags: CK.CKF_OS_LOCKING_OK });
  const found = module.C_GetSlotList(true).find((each) => module.C_GetTokenInfo(each).serialNumber.trim() === keeper.hsm.serial);
  if (found === undefined) throw new Error('no token');
  slot = found;
  session = module.C_OpenSession(slot, CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION);
  withPin({ file: keeper.hsm.pinFile }, (pin) => module.C_Login(session, CK.CKU_USER, pin));
});
afterAll(async () => {
  module?.C_Finalize();
  await keeper?.stop();
});

/** A liar leaves its session in the middle of an operation. */
const freshSession = (): Handle => module.C_OpenSession(slot, CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION);

function find(template: Template): Handle[] {
  module.C_FindObjectsInit(session, template);
  try {
    return module.C_FindObjects(session, 10);
  } finally {
    module.C_FindObjectsFinal(session);
  }
}

const byId = (id: string) => find([{ type: CK.CKA_ID, value: Buffer.from(id) }]);

function planted(id: string, extractable: boolean): Template {
  return [
    { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
    { type: CK.CKA_KEY_TYPE, value: CK.CKK_AES },
    { type: CK.CKA_TOKEN, value: true },
    { type: CK.CKA_PRIVATE, value: true },
    { type: CK.CKA_SENSITIVE, value: true },
    { type: CK.CKA_EXTRACTABLE, value: extractable },
    { type: CK.CKA_ENCRYPT, value: true },
    { type: CK.CKA_DECRYPT, value: true },
    { type: CK.CKA_ID, value: Buffer.from(id) },
    { type: CK.CKA_VALUE_LEN, value: 32 },
  ];
}

describe('a kek as a token object', () => {
  test('has its name and id, only encrypts and decrypts, and gives its value to nobody', async () => {
    await keeper.client.generate(ref('attributes'), 'kek');
    const [key, more] = byId('kek/attributes/1');
    if (key === undefined || more !== undefined) throw new Error('not exactly one object');
    const flags = [
      'TOKEN',
      'PRIVATE',
      'SENSITIVE',
      'ENCRYPT',
      'DECRYPT',
      'LOCAL',
      'NEVER_EXTRACTABLE',
      'ALWAYS_SENSITIVE',
      'EXTRACTABLE',
      'WRAP',
      'UNWRAP',
      'SIGN',
      'DERIVE',
      'MODIFIABLE',
    ];
    const numbers = CK as unknown as Record<string, number>;
    const read = module.C_GetAttributeValue(
      session,
      key,
      flags.map((flag) => ({ type: numbers[`CKA_${flag}`] ?? -1 })),
    );
    expect(read.map(({ value }) => (value as Buffer)[0])).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
    expect(module.C_GetAttributeValue(session, key, [{ type: CK.CKA_LABEL }])[0]?.value?.toString()).toBe('attributes');
    expect(() => module.C_GetAttributeValue(session, key, [{ type: CK.CKA_VALUE }])).toThrow('CKR_ATTRIBUTE_SENSITIVE');
    expect(() => module.C_SetAttributeValue(session, key, [{ type: CK.CKA_WRAP, value: true }])).toThrow('CKR_');
  });

  test('planted twice under one id is used by nothing', async () => {
    const { client } = keeper;
    await client.generate(ref('doubled'), 'kek');
    const zeros = { iv: new Uint8Array(12), bytes: new Uint8Array(48), aadDigest: sha256(utf8('x')) };
    const wrapped = { v: 1 as const, tier: 1 as const, provider: 'pkcs11', kek: ref('doubled'), ...zeros };
    module.C_GenerateKey(session, { mechanism: CK.CKM_AES_KEY_GEN }, planted('kek/doubled/1', false));
    for (const work of [
      () => client.describe(ref('doubled')),
      () => client.wrap(ref('doubled'), new SecretBytes(new Uint8Array(32)), utf8('x')),
      () => client.unwrap(wrapped, utf8('x')),
      () => client.generate(ref('doubled'), 'kek'),
    ]) {
      await expect(work()).rejects.toMatchObject({ code: 'internal', detail: expect.stringContaining('two objects') });
    }
  });

  test('made by two keepers at once: who finds another beside its own takes its own away, and says that it may be tried again', () => {
    const raced = lyingAs(module, {
      C_GenerateKey: ((at: Handle, mechanism: never, template: Template) => {
        module.C_GenerateKey(at, mechanism, template); // the other keeper's, which nobody saw when they looked
        return module.C_GenerateKey(at, mechanism, template);
      }) as Pkcs11Module['C_GenerateKey'],
    });
    const make = (by: Pkcs11Module) => () => generateKey(by, session, ref('raced'), 'kek', selfTest(module, session), {});
    expect(make(raced)).toThrow(expect.objectContaining({ code: 'key_raced', retryable: true }));
    expect(byId('kek/raced/1')).toHaveLength(1);
    expect(make(module)).toThrow(expect.objectContaining({ code: 'key_exists' }));
  });

  test('that is found under the name of another is not used: the token cut its CKA_ID, or lies', () => {
    const two = (id: string | Buffer) => Buffer.from(id).subarray(0, 2);
    const cutting = lyingAs(module, {
      C_FindObjectsInit: (handle, template = []) => {
        const cut = template.map((one) => (one.type === CK.CKA_ID ? { ...one, value: two(one.value as Buffer) } : one));
        module.C_FindObjectsInit(handle, cut);
      },
      C_GenerateKey: (handle, mechanism, template) => {
        const cut = template.map((one) => (one.type === CK.CKA_ID ? { ...one, value: two(one.value as Buffer) } : one));
        return module.C_GenerateKey(handle, mechanism, cut);
      },
    });
    const can = selfTest(module, session);
    for (const make of [ref('one'), ref('two')])
      expect(() => generateKey(cutting, session, make, 'kek', can, {})).toThrow(expect.objectContaining({ code: 'hsm_mechanism_missing' }));
    expect(byId('ke')).toEqual([]);
    expect(() => findKek(cutting, session, ref('one'))).toThrow(expect.objectContaining({ code: 'key_unknown' }));
  });

  test('in use goes on being used when another is planted under its id: what is wrapped then opens under the first alone', async () => {
    const { client } = keeper;
    await client.generate(ref('used'), 'kek');
    const dek = new SecretBytes(new Uint8Array(32).fill(7));
    await client.wrap(ref('used'), dek, utf8('x'));
    const second = module.C_GenerateKey(session, { mechanism: CK.CKM_AES_KEY_GEN }, planted('kek/used/1', false));
    const wrapped = await client.wrap(ref('used'), dek, utf8('x'));
    module.C_DestroyObject(session, second);
    expect((await client.unwrap(wrapped, utf8('x'))).equals(dek)).toBe(true);
  });

  test('destroyed by another process is key_unknown from then on, although its handle was remembered', async () => {
    const { client } = keeper;
    await client.generate(ref('gone'), 'kek');
    const dek = new SecretBytes(new Uint8Array(32));
    const wrapped = await client.wrap(ref('gone'), dek, utf8('x'));
    for (const key of byId('kek/gone/1')) module.C_DestroyObject(session, key);
    await expect(client.unwrap(wrapped, utf8('x'))).rejects.toMatchObject({ code: 'key_unknown' });
    await expect(client.wrap(ref('gone'), dek, utf8('x'))).rejects.toMatchObject({ code: 'key_unknown' });
  });

  test('that could leave the token is described as extractable and not used, unless the configuration says so', async () => {
    module.C_GenerateKey(session, { mechanism: CK.CKM_AES_KEY_GEN }, planted('kek/leaky/1', true));
    const { client } = keeper;
    const dek = new SecretBytes(new Uint8Array(32));
    expect(await client.describe(ref('leaky'))).toMatchObject({ extractable: true });
    await expect(client.wrap(ref('leaky'), dek, utf8('x'))).rejects.toMatchObject({ code: 'key_extractable' });
    const folder = join(keeper.hsm.folder, 'careless');
    const careless = await startTokenKeeper({ ...softHsmToken(keeper.hsm), folder }, { dangerouslyAllowExtractableKek: true });
    const wrapped = await careless.client.wrap(ref('leaky'), dek, utf8('x'));
    await expect(client.unwrap(wrapped, utf8('x'))).rejects.toMatchObject({ code: 'key_extractable' });
    expect(careless.events).toContainEqual({ event: 'line', detail: expect.stringContaining('dangerouslyAllowExtractableKek is set') });
    await careless.stop();
  });

  test('brought in from outside counts as one that could leave', async () => {
    const template = planted('kek/imported/1', false).filter(({ type }) => type !== CK.CKA_VALUE_LEN);
    module.C_CreateObject(session, [...template, { type: CK.CKA_VALUE, value: Buffer.alloc(32, 3) }]);
    expect(await keeper.client.describe(ref('imported'))).toMatchObject({ extractable: true });
  });

  test('generating a signing pair leaves exactly a private and a public object', async () => {
    await keeper.client.generate(ref('pair'), 'catalogue');
    expect(byId('catalogue/pair/1')).toHaveLength(2);
    expect(find([{ type: CK.CKA_LABEL, value: 'pair' }])).toHaveLength(2);
  });
});

describe('AES-GCM of the token', () => {
  test('gives the bytes of our vector and opens them', () => {
    const vector = JSON.parse(readFileSync(new URL('../vectors/keys/wrapped-key.json', import.meta.url), 'utf8'));
    const key = module.C_CreateObject(session, [
      { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
      { type: CK.CKA_KEY_TYPE, value: CK.CKK_AES },
      { type: CK.CKA_TOKEN, value: false },
      { type: CK.CKA_ENCRYPT, value: true },
      { type: CK.CKA_DECRYPT, value: true },
      { type: CK.CKA_VALUE, value: Buffer.from(vector.kekBytesHex, 'hex') },
    ]);
    const [iv, aad, dek, sealed] = [vector.wrapped.ivHex, vector.dekWrapAadHex, vector.dekHex, vector.wrapped.bytesHex].map(fromHex) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    expect(toHex(encryptGcm(module, session, key, iv, aad, dek))).toBe(vector.wrapped.bytesHex);
    expect(toHex(decryptGcm(module, session, key, iv, aad, sealed))).toBe(vector.dekHex);
  });
});

describe('the self-test', () => {
  const works = { works: true, untried: false };

  test('finds what SoftHSM really does, and leaves no object behind', () => {
    const before = find([{ type: CK.CKA_TOKEN, value: false }]).length;
    const can = selfTest(module, session);
    expect(can).toEqual({
      gcm: { works: true, iv: 'ours', knownAnswer: true },
      keyWrap: { works: false, why: expect.stringContaining('0x210a gives other bytes than RFC 5649 for 52 bytes') },
      signing: { ed25519: works, 'ecdsa-p256-sha256': works },
    });
    expect(inWords(can)).toMatch(/^AES-GCM: works; RFC 5649: 0x210b .*; ed25519: works; ecdsa-p256-sha256: works$/);
    expect(find([{ type: CK.CKA_TOKEN, value: false }])).toHaveLength(before);
  });

  const refuse = (code: number, name: string) => (): never => {
    throw Object.assign(new Error(name), { code });
  };
  const lying: ReadonlyArray<readonly [string, (real: Pkcs11Module) => Partial<Pkcs11Module>, string]> = [
    ['ignores the AAD', (real) => withoutAad(real), 'other bytes'],
    [
      'changes the ciphertext',
      (real) => ({ C_Encrypt: ((s: Handle, i: Buffer, o: Buffer) => real.C_Encrypt(s, i, o).fill(0, 0, 1)) as Pkcs11Module['C_Encrypt'] }),
      'other bytes',
    ],
    ['opens anything', () => ({ C_Decrypt: (() => Buffer.alloc(32)) as unknown as Pkcs11Module['C_Decrypt'] }), 'does not open'],
    ['has no AES-GCM', () => ({ C_EncryptInit: refuse(0x70, 'CKR_MECHANISM_INVALID') }), 'CKR_MECHANISM_INVALID'],
    [
      'makes and takes no key',
      () => ({ C_CreateObject: refuse(0xd1, 'CKR_TEMPLATE_INCONSISTENT'), C_GenerateKey: refuse(0x54, 'CKR_FUNCTION_NOT_SUPPORTED') }),
      'CKR_FUNCTION_NOT_SUPPORTED',
    ],
  ];
  test.each(lying)('finds no AES-GCM in a token that %s', (_, lie, why) => {
    expect(selfTest(lyingAs(module, lie(module)), freshSession()).gcm).toEqual({ works: false, why: expect.stringContaining(why) });
  });

  test('finds no AES-GCM in a token that never checks the tag', () => {
    let last: Buffer | undefined;
    const careless = (at: Handle, data: Buffer, out: Buffer): Buffer => {
      try {
        last = Buffer.from(module.C_Decrypt(at, data, out));
      } catch {
        // what a careless token would do
      }
      return last ?? out;
    };
    const liar = lyingAs(module, { C_Decrypt: careless as Pkcs11Module['C_Decrypt'] });
    expect(selfTest(liar, freshSession()).gcm).toEqual({ works: false, why: 'AES-GCM of the token opens another AAD' });
  });

  test('takes the IV of a token that chooses it, and of no token that leaves it zero', () => {
    let parameter: { iv: Buffer } | undefined;
    const own = Buffer.from('5a5a5a5a5a5a5a5a5a5a5a5a', 'hex');
    const choosing = (writes: boolean): Partial<Pkcs11Module> => ({
      C_EncryptInit: (at, mechanism, key) => {
        parameter = (mechanism as unknown as { parameter: { iv: Buffer } }).parameter;
        if (parameter.iv.some((byte) => byte !== 0)) refuse(0x07, 'CKR_ARGUMENTS_BAD')();
        if (writes) own.copy(parameter.iv);
        module.C_EncryptInit(at, mechanism, key);
      },
    });
    expect(selfTest(lyingAs(module, choosing(true)), freshSession()).gcm).toEqual({ works: true, iv: 'token', knownAnswer: true });
    const lazy = selfTest(lyingAs(module, choosing(false)), freshSession()).gcm;
    expect(lazy).toEqual({ works: false, why: expect.stringContaining('chose none') });
  });

  test('believes a token that takes no key, as far as it agrees with itself', () => {
    const strict = lyingAs(module, { C_CreateObject: refuse(0xd1, 'CKR_TEMPLATE_INCONSISTENT') });
    const can = selfTest(strict, freshSession());
    expect(can.gcm).toEqual({ works: true, iv: 'ours', knownAnswer: false });
    expect(can.keyWrap).toMatchObject({ works: false });
  });

  test('finds no signature in a token that signs wrongly, and leaves one untried where no pair can be made for it', () => {
    const wrong = lyingAs(module, { C_Sign: (() => Buffer.alloc(64, 1)) as unknown as Pkcs11Module['C_Sign'] });
    const bad = { works: false, why: expect.stringContaining('does not verify') };
    expect(selfTest(wrong, freshSession()).signing.ed25519).toEqual(bad);
    const strict = lyingAs(module, { C_GenerateKeyPair: refuse(0x13, 'CKR_ATTRIBUTE_VALUE_INVALID') });
    expect(selfTest(strict, freshSession()).signing.ed25519).toEqual({ works: true, untried: true });
  });
});

describe('the PIN file', () => {
  const write = (content: string): string => {
    const file = join(keeper.hsm.folder, 'some.pin');
    writeFileSync(file, content, { mode: 0o600 });
    return file;
  };

  test.each([
    ['1234', '1234'],
    ['1234\n', '1234'],
    ['1234\r\n', '1234'],
    ['12 34 \n', '12 34 '],
    ['12\n34\n', '12\n34'],
    ['é'.repeat(127), 'é'.repeat(127)],
  ])('lends the PIN without its one trailing newline: %j', (content, pin) => {
    expect(withPin({ file: write(content) }, (lent) => lent)).toBe(pin);
  });

  test.each(['', '\n', 'x'.repeat(256), 'x'.repeat(1000)])('refuses a file without a PIN of 1 to 255 bytes (%#)', (content) => {
    expect(() => withPin({ file: write(content) }, (lent) => lent)).toThrow(expect.objectContaining({ code: 'configuration_invalid' }));
  });
});

describe('the token', () => {
  test.each(['CKF_USER_PIN_FINAL_TRY', 'CKF_USER_PIN_LOCKED'] as const)('that says %s is not logged in to', (flag) => {
    const said = lyingAs(module, {
      C_GetTokenInfo: (each) => ({ ...module.C_GetTokenInfo(each), flags: module.C_GetTokenInfo(each).flags | CK[flag] }),
    });
    expect(findToken(module, { serial: keeper.hsm.serial }, undefined).serial).toBe(keeper.hsm.serial);
    expect(() => findToken(said, { serial: keeper.hsm.serial }, undefined)).toThrow(expect.objectContaining({ code: 'pin_incorrect' }));
  });
});

describe('the result codes', () => {
  test.each([
    [0xa0, 'pin_incorrect'],
    [0xa4, 'pin_incorrect'],
    [0x30, 'hsm_unavailable'],
    [0x32, 'hsm_token_missing'],
    [0xe0, 'hsm_token_missing'],
    [0x70, 'hsm_mechanism_missing'],
    [0x7777, 'hsm_unavailable'],
  ])('CKR 0x%s is %s', (code, expected) => {
    expect(vaultErrorOf(Object.assign(new Error('CKR_SOMETHING'), { code }), 'testing').code).toBe(expected);
  });

  test('an error that is not of the token is internal and keeps its text inside', () => {
    const error = vaultErrorOf(new TypeError('secret-looking text'), 'testing');
    expect([error.code, error.message]).toEqual(['internal', 'internal: testing']);
  });
});

/** The real module, except where it lies. */
function lyingAs(real: Pkcs11Module, lies: Partial<Pkcs11Module>): Pkcs11Module {
  return new Proxy(real, {
    get(target, name) {
      if (Object.hasOwn(lies, name)) return lies[name as keyof Pkcs11Module];
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function withoutAad(real: Pkcs11Module): Partial<Pkcs11Module> {
  const strip = (mechanism: { mechanism: number; parameter?: unknown }) => ({
    mechanism: mechanism.mechanism,
    parameter: { ...(mechanism.parameter as object), type: CK.CK_PARAMS_GCM, aad: Buffer.alloc(0) },
  });
  return {
    C_EncryptInit: (at, mechanism, key) => real.C_EncryptInit(at, strip(mechanism), key),
    C_DecryptInit: (at, mechanism, key) => real.C_DecryptInit(at, strip(mechanism), key),
  };
}
