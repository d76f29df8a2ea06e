import { expect, test } from '@jest/globals';
import { LruMap } from '../../src/domain/lru-map.ts';

test('forgets what was used least recently, and never holds more than its limit', () => {
  const map = new LruMap<string, number>(2);
  map.set('a', 1);
  map.set('b', 2);
  expect(map.get('a')).toBe(1); // now `b` is the older one
  map.set('c', 3);
  expect([map.get('a'), map.get('b'), map.get('c'), map.size]).toEqual([1, undefined, 3, 2]);
  map.set('a', 4);
  expect([map.get('a'), map.size]).toEqual([4, 2]);
});
