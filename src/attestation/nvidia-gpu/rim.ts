/**
 * A reference integrity manifest of NVIDIA: a SWID tag (ISO/IEC 19770-2) with the measurements that one version of a driver or VBIOS
 * makes (TCG RIM information model).
 */
import { Malformed } from '../x509/der.ts';
import { everyElement, type XmlElement } from './xml-tree.ts';

const SWID = 'http://standards.iso.org/iso/19770/-2/2015/schema.xsd';
const SHA384 = 'http://www.w3.org/2001/04/xmlenc#sha384';
const MEASUREMENT_HEX = 96;
const MAX_ALTERNATIVES = 64;

export interface GoldenMeasurement {
  /** From 1, as reports count; the file counts from 0. */
  readonly index: number;
  /** Inactive entries are of no concern to this file. */
  readonly isActive: boolean;
  /** Any of these, lower-case hex. */
  readonly values: readonly string[];
}

export interface Rim {
  /** The chip it is for: `GH100`. */
  readonly id: string;
  /** Of the driver or VBIOS, as the report spells it. */
  readonly version: string;
  readonly measurements: readonly GoldenMeasurement[];
}

/** Throws Malformed. */
export function readRim(root: XmlElement): Rim {
  if (root.namespace !== SWID || root.name !== 'SoftwareIdentity') throw new Malformed('not a SWID tag');
  const [meta, payload] = [only(root, 'Meta'), only(root, 'Payload')];
  const measurements = payload.children.map(readMeasurement);
  if (new Set(measurements.map(({ index }) => index)).size !== measurements.length) throw new Malformed('an index twice');
  if (measurements.length === 0) throw new Malformed('no measurements');
  return { id: attribute(root, 'name'), version: attribute(meta, 'colloquialVersion'), measurements };
}

function only(root: XmlElement, name: string): XmlElement {
  const [found, ...more] = everyElement(root).filter((element) => element.namespace === SWID && element.name === name);
  if (found === undefined || more.length > 0 || !root.children.includes(found)) throw new Malformed(`not exactly one ${name}`);
  return found;
}

function attribute(element: XmlElement, name: string): string {
  const value = element.attributes.get(name);
  if (value === undefined || value === '' || value.length > 128) throw new Malformed(`${element.name} without ${name}`);
  return value;
}

function readMeasurement(resource: XmlElement): GoldenMeasurement {
  if (resource.name !== 'Resource' || attribute(resource, 'type') !== 'Measurement')
    throw new Malformed('a payload that is no measurement');
  const alternatives = number(resource, 'alternatives', MAX_ALTERNATIVES);
  if (alternatives === 0) throw new Malformed('a measurement without a value');
  const values = Array.from({ length: alternatives }, (_, at) => attribute(resource, `{${SHA384}}Hash${at}`).toLowerCase());
  if (values.some((value) => value.length !== MEASUREMENT_HEX || !/^[0-9a-f]+$/.test(value))) throw new Malformed('not a SHA-384 digest');
  return { index: number(resource, 'index', 254) + 1, isActive: attribute(resource, 'active') !== 'False', values };
}

function number(element: XmlElement, name: string, maximum: number): number {
  const text = attribute(element, name);
  if (!/^(?:0|[1-9]\d{0,3})$/.test(text) || Number(text) > maximum) throw new Malformed(`${name} is no number, or too large`);
  return Number(text);
}
