/** A place of the operator, as the configuration declares it. */
export interface Site {
  readonly name: string;
  /** ISO 3166-1 alpha-2, or a word that is none. */
  readonly country?: string | undefined;
}

/** Where whoever has this address is. */
export type SiteOf = (remoteAddress: string) => Site;
