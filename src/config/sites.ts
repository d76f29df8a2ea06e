/** Sites of the operator: which networks are where. Declared, not looked up: there is no table of the world's addresses in the product. */
import { BlockList, isIP, isIPv6 } from 'node:net';
import { z } from 'zod';
import type { Site, SiteOf } from '../domain/site.ts';

const network = z.string().max(64).refine(isNetwork, 'must be a network, such as 192.0.2.0/24 or 2001:db8::/32');

export const sites = z
  .array(
    z.strictObject({
      name: z
        .string()
        .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/)
        .refine((name) => name !== 'elsewhere', 'is what an address is called that no site has'),
      /** ISO 3166-1 alpha-2. */
      country: z
        .string()
        .regex(/^[A-Z]{2}$/)
        .optional(),
      networks: z.array(network).min(1).max(256),
    }),
  )
  .min(1)
  .max(256)
  .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, 'two sites share a name');

/** Of whoever is in no declared network: also a place, and one that nobody expects. */
export const ELSEWHERE: Site = { name: 'elsewhere', country: 'elsewhere' };

/** Of several sites that hold an address the one with the longest prefix; of equals the first. */
export function siteFinder(declared: Readonly<z.output<typeof sites>>): SiteOf {
  const known = declared
    .flatMap(({ name, country, networks }) => networks.map((text) => ({ site: { name, ...(country && { country }) }, ...blockOf(text) })))
    .sort((one, other) => other.prefix - one.prefix);
  return (address) => {
    const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
    if (isIP(plain) === 0) return ELSEWHERE;
    const family = isIPv6(plain) ? 'ipv6' : 'ipv4';
    return known.find(({ block }) => block.check(plain, family))?.site ?? ELSEWHERE;
  };
}

function isNetwork(text: string): boolean {
  const [, address = '', prefix = ''] = /^([0-9A-Fa-f.:]+)\/([0-9]{1,3})$/.exec(text) ?? [];
  const bits = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  return Number(prefix) <= bits;
}

function blockOf(text: string): { readonly block: BlockList; readonly prefix: number } {
  const [address = '', prefix = ''] = text.split('/');
  const block = new BlockList();
  block.addSubnet(address, Number(prefix), isIPv6(address) ? 'ipv6' : 'ipv4');
  return { block, prefix: Number(prefix) };
}
