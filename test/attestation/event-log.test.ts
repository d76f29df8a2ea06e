/** Measured boot logs: read whole or not at all, replayed as a TPM would extend, and believed only by their digests. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MAX_LOG_BYTES, parseEventLog, UnusableLog } from '../../src/attestation/event-log/event-log.ts';
import { examineEventLog } from '../../src/attestation/event-log/examine.ts';
import { factsOf } from '../../src/attestation/event-log/facts.ts';
import { replay } from '../../src/attestation/event-log/replay.ts';
import { concat, toHex } from '../../src/domain/bytes.ts';
import { flipEachByte } from './damage.ts';
import { type Bank, event, latin, le16, le32, log, opening, specId, variable } from './log-maker.ts';
import { agreesOnEverySharedEntry, describeShared, inputsOf, sharedEntries } from './shared-evidence.ts';

agreesOnEverySharedEntry('tcg2-eventlog', examineEventLog);

const BOTH: readonly Bank[] = ['sha1', 'sha256'];
const NO_ACTION = 3;
const SEPARATOR = 4;
const reasonsOf = (evidence: Uint8Array) => examineEventLog({ evidence }).reasons;
const extend = (bank: Bank, start: Uint8Array, ...measured: readonly Uint8Array[]) =>
  measured.reduce(
    (before, one) => new Uint8Array(createHash(bank).update(before).update(createHash(bank).update(one).digest()).digest()),
    start,
  );

describe('a replay', () => {
  const [a, b] = [latin('first'), latin('second')];

  test('extends every bank in order, register by register, and lists only registers that were extended', () => {
    const bytes = log(
      BOTH,
      { register: 4, type: SEPARATOR, data: a },
      { register: 7, type: SEPARATOR, data: a },
      { register: 4, type: SEPARATOR, data: b },
    );
    expect(replay(parseEventLog(bytes))).toEqual({
      sha1: { 4: toHex(extend('sha1', new Uint8Array(20), a, b)), 7: toHex(extend('sha1', new Uint8Array(20), a)) },
      sha256: { 4: toHex(extend('sha256', new Uint8Array(32), a, b)), 7: toHex(extend('sha256', new Uint8Array(32), a)) },
    });
  });

  test('never extends EV_NO_ACTION, and starts PCR 0 with the startup locality', () => {
    const locality = { register: 0, type: NO_ACTION, data: concat(latin('StartupLocality\0'), Uint8Array.of(3)) };
    const bytes = log(['sha256'], locality, { register: 0, type: SEPARATOR, data: a }, { register: 1, type: SEPARATOR, data: a });
    const start = new Uint8Array(32);
    start[31] = 3;
    expect(replay(parseEventLog(bytes))).toEqual({
      sha256: { 0: toHex(extend('sha256', start, a)), 1: toHex(extend('sha256', new Uint8Array(32), a)) },
    });
  });

  test('starts PCR 0 with 4 where the processor measured the first firmware, and every register of dynamic launch with zeros', () => {
    const hcrtm = { register: 0, type: 0x8000_0010, data: latin('HCRTM') };
    const bytes = log(['sha256'], hcrtm, ...[16, 17, 22, 23].map((register) => ({ register, type: SEPARATOR, data: a })));
    const zeros = toHex(extend('sha256', new Uint8Array(32), a));
    const start = new Uint8Array(32);
    start[31] = 4;
    const first = toHex(extend('sha256', start, hcrtm.data));
    expect(replay(parseEventLog(bytes))).toEqual({ sha256: { 0: first, 16: zeros, 17: zeros, 22: zeros, 23: zeros } });
  });

  test('extends an event only in the banks it has a digest of: Windows closes its logs with one that has fewer', () => {
    const bytes = concat(
      log(BOTH, { register: 4, type: SEPARATOR, data: a }),
      event(['sha1'], { register: 4, type: SEPARATOR, data: b }),
      event(['sha256'], { register: 0xffff_ffff, type: NO_ACTION, data: b }),
    );
    expect(replay(parseEventLog(bytes))).toEqual({
      sha1: { 4: toHex(extend('sha1', new Uint8Array(20), a, b)) },
      sha256: { 4: toHex(extend('sha256', new Uint8Array(32), a)) },
    });
  });
});

describe('a log is read when it ends with its table', () => {
  const bytes = log(BOTH, { register: 0, type: SEPARATOR, data: latin('x') });
  test.each([
    ['nothing behind it', new Uint8Array(0)],
    ['zeros behind it', new Uint8Array(4096)],
    ['ones behind it', new Uint8Array(100).fill(0xff)],
  ])('%s', (_, rest) => expect(examineEventLog({ evidence: concat(bytes, rest) })).toMatchObject({ valid: true, claims: { events: 2 } }));

  test('an event about no register is read, as reference manifests are', () => {
    const evidence = log(BOTH, { register: 0xffff_ffff, type: NO_ACTION, data: latin('x') });
    expect(examineEventLog({ evidence })).toMatchObject({ valid: true, claims: { events: 2, replayed: { sha1: {}, sha256: {} } } });
  });
});

test('a log with SM3 alone, of a Hygon guest, is replayed, and no fact comes of it', () => {
  const evidence = log(['sm3'], { register: 1, type: SEPARATOR, data: latin('x') });
  const replayed = createHash('sm3').update(new Uint8Array(32)).update(createHash('sm3').update('x').digest()).digest('hex');
  expect(examineEventLog({ evidence })).toMatchObject({
    valid: true,
    claims: { replayed: { sm3: { 1: replayed } }, facts: { bank: null } },
  });
});

describe('a log is refused', () => {
  const one = event(BOTH, { register: 0, type: SEPARATOR, data: latin('x') });
  const whole = concat(opening(specId(BOTH)), one);
  const withDigests = (...digests: readonly Uint8Array[]) =>
    concat(opening(specId(BOTH)), le32(0), le32(SEPARATOR), le32(digests.length), ...digests, le32(0));
  const [sha1, sha256] = [concat(le16(0x04), new Uint8Array(20)), concat(le16(0x0b), new Uint8Array(32))];

  test.each([
    ['empty', new Uint8Array(0)],
    ['shorter than its first record', whole.subarray(0, 31)],
    ['a first record that is longer than the log', opening(specId(BOTH)).subarray(0, 60)],
    ['another signature', concat(opening(specId(BOTH, { signature: 'Spec ID Event04\0' })), one)],
    ['version 3', concat(opening(specId(BOTH, { major: 3 })), one)],
    ['no algorithm', opening(specId([]))],
    ['an algorithm twice', opening(specId(['sha256', 'sha256']))],
    ['a digest size that is a lie', concat(opening(specId(BOTH, { sizes: [20, 20] })), one)],
    ['a digest size of nothing', opening(specId(BOTH, { sizes: [20, 0] }))],
    ['bytes behind the Spec ID event', concat(opening(concat(specId(BOTH), Uint8Array.of(1))), one)],
    ['an event that ends early', whole.subarray(0, -1)],
    ['one byte behind the last event', concat(whole, Uint8Array.of(7))],
    ['zeros behind it that are not only zeros', concat(whole, new Uint8Array(40), Uint8Array.of(1))],
    ['register 24', concat(whole, event(BOTH, { register: 24, type: SEPARATOR }))],
    ['an event about no register that would be extended', concat(whole, event(BOTH, { register: 0xffff_ffff, type: SEPARATOR }))],
    ['an event without digests', withDigests()],
    ['an event with a digest too many', withDigests(sha1, sha256, sha1)],
    ['an event with one digest twice', withDigests(sha256, sha256)],
    ['an event with an algorithm the log does not have', withDigests(sha1, concat(le16(0x0c), new Uint8Array(48)))],
    ['an event that says it is 4 GiB long', concat(opening(specId([])), le32(0))],
    ['a size of 4 GiB', concat(whole.subarray(0, -5), le32(0xffff_ffff), latin('x'))],
    ['a count of four thousand million digests', concat(opening(specId(BOTH)), le32(0), le32(4), le32(0xffff_ffff))],
    ['more than 1 MiB', new Uint8Array(MAX_LOG_BYTES + 1)],
  ])('%s', (_, evidence) => expect(reasonsOf(evidence)).toEqual(['malformed_event_log']));

  test('more than 2048 events', () => {
    const many = Array.from({ length: 2049 }, () => one);
    expect(reasonsOf(concat(opening(specId(BOTH)), ...many))).toEqual(['malformed_event_log']);
    expect(reasonsOf(concat(opening(specId(BOTH)), ...many.slice(1)))).toEqual([]);
  });

  test('of the old form, and one with SHA-1 alone, by a word of its own', () => {
    const old = concat(opening(latin('firmware'), 8), opening(latin('x'), SEPARATOR));
    expect(reasonsOf(old)).toEqual(['legacy_sha1_log']);
    expect(reasonsOf(concat(opening(latin('Spec ID Event02\0')), old))).toEqual(['malformed_event_log', 'legacy_sha1_log']);
    expect(reasonsOf(log(['sha1'], { register: 0, type: SEPARATOR }))).toEqual(['legacy_sha1_log']);
    expect(reasonsOf(concat(old, Uint8Array.of(1)))).toEqual(['malformed_event_log', 'legacy_sha1_log']);
  });
});

describe('facts of a log', () => {
  const driverConfig = 0x8000_0001;
  const [on, off] = [1, 0].map((value) => ({ register: 7, type: driverConfig, data: variable('SecureBoot', Uint8Array.of(value)) }));
  const end = { register: 7, type: SEPARATOR, data: new Uint8Array(4) };
  const loader = { register: 4, type: 0x8000_0003, data: latin('path'), measured: latin('the loader itself') };
  const line = { register: 8, type: 0x0d, data: latin('kernel_cmdline: root=/dev/sda\0'), measured: latin('root=/dev/sda') };
  if (on === undefined || off === undefined) throw new Error('two values give two events');
  const facts = (...events: Parameters<typeof event>[1][]) => factsOf(parseEventLog(log(BOTH, ...events)), 'tpm');

  test('say what was measured: secure boot, what was started, the command line', () => {
    expect(facts(on, end, loader, line)).toEqual({
      bank: 'sha256',
      secureBoot: true,
      bootApplications: [createHash('sha256').update('the loader itself').digest('hex')],
      commandLines: ['root=/dev/sda'],
    });
    expect(facts(off, end).secureBoot).toBe(false);
    const stub = new Uint8Array(Buffer.from('root=/dev/sda\0', 'utf16le'));
    expect(facts({ register: 12, type: 0x0d, data: stub }).commandLines).toEqual(['root=/dev/sda']);
  });

  test('never repeat text that does not hash to its digest', () => {
    const other = { ...line, measured: latin('init=/bin/sh') };
    expect(facts({ ...on, measured: off.data }, end, other)).toMatchObject({ secureBoot: null, commandLines: [] });
  });

  test('do not choose between two answers, nor take one of another length', () => {
    expect(facts(on, off, end).secureBoot).toBe(null);
    expect(facts({ ...on, data: variable('SecureBoot', Uint8Array.of(1, 0)) }, end).secureBoot).toBe(null);
  });

  test('are taken where firmware and boot loader write, and not where the running system can write the same', () => {
    expect(facts(end, on).secureBoot).toBe(null); // behind the separator
    expect(facts(on).secureBoot).toBe(null); // without one
    expect(facts({ ...on, register: 14 }, { ...end, register: 14 }).secureBoot).toBe(null);
    expect(facts({ ...loader, register: 14 }, { ...line, register: 14 })).toMatchObject({ bootApplications: [], commandLines: [] });
    expect(facts(off, end, { ...on, register: 14 }).secureBoot).toBe(false);
  });

  test('of a CCEL stand in the registers that the PCRs are mapped to', () => {
    const mapped = [
      { ...on, register: 1 },
      { ...end, register: 1 },
      { ...loader, register: 2 },
      { ...line, register: 3 },
    ];
    const parsed = parseEventLog(log(BOTH, ...mapped));
    expect(factsOf(parsed, 'ccel')).toMatchObject({
      secureBoot: true,
      bootApplications: [expect.any(String)],
      commandLines: ['root=/dev/sda'],
    });
    expect(factsOf(parsed, 'tpm')).toMatchObject({ secureBoot: null, bootApplications: [], commandLines: [] });
  });

  test('never come from an event that has no digest in the bank', () => {
    const bytes = concat(log(BOTH), event(BOTH, off), event(['sha1'], end), event(['sha1'], on), event(BOTH, end), event(['sha1'], loader));
    expect(factsOf(parseEventLog(bytes), 'tpm')).toMatchObject({ secureBoot: false, bootApplications: [] });
  });

  test('are only of the bank and registers that were signed', () => {
    const parsed = parseEventLog(log(BOTH, on, end));
    expect(factsOf(parsed, 'tpm', { bank: 'sha256', registers: [0, 4] }).secureBoot).toBe(null);
    expect(factsOf(parsed, 'tpm', { bank: 'sha384', registers: [7] })).toMatchObject({ bank: null, secureBoot: null });
    expect(factsOf(parsed, 'tpm', { bank: 'sha1', registers: [7] })).toMatchObject({ bank: 'sha1', secureBoot: true });
  });
});

describe('whatever the bytes', () => {
  const isAnswer = (bytes: Uint8Array) => {
    try {
      factsOf(parseEventLog(bytes), 'tpm');
      return true;
    } catch (error) {
      return error instanceof UnusableLog;
    }
  };
  const good = log(
    BOTH,
    { register: 0, type: SEPARATOR, data: latin('abc') },
    { register: 7, type: 0x8000_0001, data: variable('SecureBoot', Uint8Array.of(1)) },
  );

  test('there is an answer: random bytes, random tails, cuts and splices', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), isAnswer));
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (tail) => isAnswer(concat(opening(specId(BOTH)), tail))));
    fc.assert(
      fc.property(fc.nat(good.length), fc.nat(good.length), (from, to) => isAnswer(concat(good.subarray(0, to), good.subarray(from)))),
    );
  });

  test('a flipped bit of a digest changes the replay, and of anything else it changes nothing that counts', async () => {
    const before = JSON.stringify(replay(parseEventLog(good)));
    let refused = 0;
    await flipEachByte(good, 1, (bytes) => {
      expect(isAnswer(bytes)).toBe(true);
      if (reasonsOf(bytes).length > 0) refused++;
      else if (JSON.stringify(replay(parseEventLog(bytes))) === before) expect(parseEventLog(bytes).events).toHaveLength(2);
    });
    expect(refused).toBeGreaterThan(20); // counts, sizes, algorithms, registers, the opening
  });

  describeShared('real logs', () => {
    test.each(sharedEntries('tcg2-eventlog').map((entry) => [entry.id, entry] as const))(
      '%s: every byte damaged, always an answer',
      async (_, entry) => {
        const { evidence } = inputsOf(entry);
        await flipEachByte(evidence.subarray(0, 4096), 1, (bytes) => expect(isAnswer(bytes)).toBe(true));
      },
    );
  });
});
