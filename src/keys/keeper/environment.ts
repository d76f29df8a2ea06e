/** All that a keeper's process sees of an environment: none of the vault's own secrets, and nothing that would choose its keys for it. */

/** Where the SDK finds the role of the machine or container. AWS_ACCESS_KEY_ID is not among them: static credentials come from a file. */
const OF_A_ROLE = [
  'AWS_ROLE_ARN',
  'AWS_ROLE_SESSION_NAME',
  'AWS_WEB_IDENTITY_TOKEN_FILE',
  'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI',
  'AWS_CONTAINER_CREDENTIALS_FULL_URI',
  'AWS_CONTAINER_AUTHORIZATION_TOKEN',
  'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE',
  'AWS_EC2_METADATA_DISABLED',
  'NODE_EXTRA_CA_CERTS',
] as const;

export function pkcs11Environment(softhsmConf: string | undefined): Record<string, string> {
  return softhsmConf === undefined ? {} : { SOFTHSM2_CONF: softhsmConf };
}

/** The SDK would also read profiles of the user: an endpoint or region from there is a surprise. */
export function awsEnvironment(parent: Readonly<Record<string, string | undefined>> = process.env): Record<string, string> {
  const role = OF_A_ROLE.flatMap((name) => (parent[name] === undefined ? [] : [[name, parent[name]] as const]));
  return { ...Object.fromEntries(role), AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null' };
}
