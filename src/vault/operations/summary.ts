import type { LogSink } from '../../documents/log-sinks.ts';
import { SYSTEM } from '../../domain/ids.ts';
import type { Operation, SetAdministrator } from './operation.ts';

/** One sentence for a person who is asked to consent. It leaves out what the operation itself shows; what counts is the operation. */
export function summaryOf(operation: Operation): string {
  switch (operation.kind) {
    case 'promote':
      return `Release version ${operation.versionId} (${operation.class}) from quarantine`;
    case 'policy-set':
      return replacement('access policies', operation.namespace, Object.keys(operation.policies));
    case 'reference-values':
      return replacement(
        'reference values',
        operation.namespace,
        operation.values.map(({ id }) => id),
      );
    case 'trust-anchors':
      return replacement(
        'trust anchors',
        operation.namespace,
        operation.anchors.map(({ name }) => name),
      );
    case 'administrator':
      return aboutPerson(operation);
    case 'alias':
      return `Let the alias ${operation.name} name version ${operation.versionId}`;
    case 'class-change':
      return `Make model ${operation.modelId} ${operation.class}, with all its versions`;
    case 'create-key':
      return `Make version ${operation.version} of ${operation.keyId}, ${ringOf(operation.namespace)}, which wraps nothing yet`;
    case 'rotate-key':
      return `Make version ${operation.version} of ${operation.keyId} the active key, and rewrap everything under it`;
    case 'compromise-key':
      return `Say that version ${operation.version} of ${operation.keyId} is compromised: it wraps nothing more`;
    case 'key-periods':
      return `Let keys ${ringOf(operation.namespace)} be rotated every ${operation.cryptoperiodDays} days, and destroyed ${operation.destructionWaitDays} days after it was decided`;
    case 'destroy-key':
      return `Destroy version ${operation.version} of ${operation.keyId} for good, once the waiting period is over`;
    case 'keep-key':
      return `Keep version ${operation.version} of ${operation.keyId}, which waits to be destroyed`;
    case 'recovery-key':
      return operation.state === 'active'
        ? `Wrap every data key for the recovery key ${operation.keyId} too: whoever has ${operation.needed} of its ${operation.shares} shares opens all weights`
        : `Withdraw the recovery key ${operation.keyId}: a lost HSM is then a lost vault`;
    case 'destroy-version':
      return operation.state === 'decided'
        ? `Destroy version ${operation.versionId} for good once the waiting period is over; it is released to nobody from now on`
        : `Keep version ${operation.versionId}, which waits to be destroyed`;
    case 'alert-rules':
      return replacement('alert rules', operation.namespace, Object.keys(operation.rules));
    case 'decoy':
      return operation.state === 'decoy'
        ? `Make model ${operation.modelId} a decoy: whoever touches it is blocked`
        : `Model ${operation.modelId} is no decoy any more`;
    case 'alert-delivery':
      return `Send alerts to ${operation.targets.length}: ${listed(operation.targets.map(({ name, kind, host }) => `${name} (${kind} ${host})`))}`;
    case 'lift':
      return `Lift the stop ${operation.stopId}`;
    case 'log-sinks':
      return operation.sinks.length === 0
        ? 'Send the access log nowhere'
        : `Send the access log to ${operation.sinks.length}, and nowhere else: ${listed(operation.sinks.map(sinkInWords))}`;
    case 'log-retention':
      return `Keep records of the access log ${daysOf(operation.recordDays)}, and names and addresses ${daysOf(operation.disclosureDays)}; what is older is removed for good${operation.requireArchive === true ? ', records only once a closed period has them' : ''}`;
    case 'close-log':
      return `Say that an archive which you verified has all of the access log before ${operation.until}: ${operation.size} records, root ${operation.root}`;
    case 'erase-person':
      return `Erase for good who the removed administrator ${operation.administratorId} was: name, addresses, documents`;
  }
}

const daysOf = (days: number | undefined) => (days === undefined ? 'for ever' : `for ${days} days`);
const ringOf = (namespace: string) => (namespace === SYSTEM ? 'of the vault' : `of ${namespace}`);

function replacement(what: string, namespace: string, names: readonly string[]): string {
  return `Replace the ${what} of ${namespace} by ${names.length}: ${listed(names)}`;
}

function aboutPerson({ counter, name, state, roles, workstations, authenticator }: SetAdministrator): string {
  if (state === 'removed') return `Remove the administrator ${name} for good`;
  const as = `as ${listed(roles)} on ${counted(workstations.length, 'workstation', 'workstations')}`;
  if (counter === 1) return `Let ${name} in as an administrator, ${as}`;
  return authenticator === 'reset' ? `Take the authenticator of ${name} away, and leave them ${as}` : `Set the administrator ${name} ${as}`;
}

const counted = (number: number, one: string, many: string) => `${number} ${number === 1 ? one : many}`;
const NAMED = 10;
const listed = (names: readonly string[]) =>
  names.length === 0 ? 'none' : names.slice(0, NAMED).join(', ') + (names.length > NAMED ? ', ...' : '');

function sinkInWords(sink: LogSink): string {
  return sink.kind === 'file' ? `${sink.name} (files)` : `${sink.name} (${sink.kind} ${sink.host}:${sink.port})`;
}
