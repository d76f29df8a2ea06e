import { describe, expect, test } from '@jest/globals';
import { ELSEWHERE, siteFinder, sites } from '../../src/config/sites.ts';

const declared = [
  { name: 'berlin', country: 'DE', networks: ['192.0.2.0/24', '2001:db8:1::/48'] },
  { name: 'cage-7', country: 'DE', networks: ['192.0.2.64/26'] },
  { name: 'lab', networks: ['127.0.0.0/8'] },
];
const siteOf = siteFinder(declared);

describe('an address is', () => {
  test.each([
    ['192.0.2.1', 'berlin'],
    ['192.0.2.63', 'berlin'],
    ['192.0.2.64', 'cage-7'], // the longest prefix
    ['192.0.2.128', 'berlin'],
    ['::ffff:192.0.2.65', 'cage-7'], // IPv4 in IPv6
    ['::FFFF:127.0.0.1', 'lab'],
    ['2001:db8:1:ffff::1', 'berlin'],
    ['2001:db8:2::1', 'elsewhere'],
    ['192.0.3.1', 'elsewhere'],
    ['', 'elsewhere'],
    ['192.0.2.1, 10.0.0.1', 'elsewhere'],
    ['localhost', 'elsewhere'],
  ])('%s: at %s', (address, name) => expect(siteOf(address).name).toBe(name));

  test('in the country of its site, in none, or in a place of its own', () => {
    expect(siteOf('192.0.2.64')).toEqual({ name: 'cage-7', country: 'DE' });
    expect(siteOf('127.0.0.1')).toEqual({ name: 'lab' });
    expect(siteOf('203.0.113.1')).toBe(ELSEWHERE);
  });
});

describe('sites are', () => {
  test('taken as they are declared', () => expect(sites.parse(declared)).toEqual(declared));

  test.each([
    ['none', []],
    ['two of a name', [declared[0], declared[0]]],
    ['without a network', [{ name: 'a', networks: [] }]],
    ['with an address', [{ name: 'a', networks: ['192.0.2.1'] }]],
    ['with a prefix too long', [{ name: 'a', networks: ['192.0.2.0/33'] }]],
    ['with an IPv6 prefix too long', [{ name: 'a', networks: ['2001:db8::/129'] }]],
    ['with a name for an address', [{ name: 'a', networks: ['example.org/24'] }]],
    ['with half an address', [{ name: 'a', networks: ['192.0.2/24'] }]],
    ['with a country that is none', [{ name: 'a', country: 'Germany', networks: ['192.0.2.0/24'] }]],
    ['called elsewhere', [{ name: 'elsewhere', networks: ['192.0.2.0/24'] }]],
    ['with a name that is none', [{ name: 'A b', networks: ['192.0.2.0/24'] }]],
  ])('not %s', (_, value) => expect(sites.safeParse(value).success).toBe(false));
});
