import { describe, expect, test } from '@jest/globals';
import { assertEarned, claimStage } from '../../src/domain/earned.ts';

// Modules are fresh in every test file, so the stages are still free to claim here.
const mint = claimStage('Permit');
const other = claimStage('RecordedPermit');

describe('an earned value', () => {
  test('is accepted, and cannot be changed afterwards', () => {
    const permit = mint({ who: 'gpu-host-01' });
    expect(() => assertEarned('Permit', permit)).not.toThrow();
    expect(() => Object.assign(permit, { who: 'someone else' })).toThrow(TypeError);
    expect(permit.who).toBe('gpu-host-01');
  });

  test('is refused where another stage is asked for', () => {
    expect(() => assertEarned('RecordedPermit', mint({}))).toThrow('not a RecordedPermit');
    expect(() => assertEarned('Permit', other({}))).toThrow('not a Permit');
  });

  test.each([
    ['an object literal', () => ({ who: 'me' })],
    ['a copy of an earned one', () => ({ ...mint({ who: 'me' }) })],
    ['a structured clone', () => structuredClone(mint({ who: 'me' }))],
    ['an object that inherits from an earned one', () => Object.create(mint({ who: 'me' })) as object],
    ['a proxy of an earned one', () => new Proxy(mint({ who: 'me' }), {})],
    ['JSON that went out and came back', () => JSON.parse(JSON.stringify(mint({ who: 'me' }))) as object],
    ['an earned one inside another object', () => ({ permit: mint({}) })],
  ])('cannot be forged: %s is refused', (_what, forge) => {
    expect(() => assertEarned('Permit', forge())).toThrow('not a Permit');
  });
});

test('a stage is claimed once: the second place that would make permits does not start', () => {
  expect(() => claimStage('Permit')).toThrow('made in two places');
  expect(() => claimStage('RecordedPermit')).toThrow('made in two places');
});
