/** A small XML document as a tree. Strict, and bounded while it is read: no document type, so no entities and nothing from elsewhere. */
import { SaxesParser, type SaxesTagNS } from 'saxes';
import { Malformed } from '../x509/der.ts';

export interface XmlElement {
  readonly namespace: string;
  readonly name: string;
  /** By `{namespace}name`, and by the bare name where there is no namespace. Declarations of namespaces are left out. */
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly XmlElement[];
  /** Its own, without that of its children. */
  readonly text: string;
  /** As it stands in the document. */
  readonly source: string;
}

/** RIMs have 64 to 130 elements, five deep, in 26 KiB; with many alternatives they may be some hundred KiB. */
export const MAX_XML_BYTES = 524_288;
const MAX_ELEMENTS = 2048;
const MAX_DEPTH = 16;
const NAMESPACES = 'http://www.w3.org/2000/xmlns/';

type Growing = { -readonly [K in keyof XmlElement]: XmlElement[K] } & { children: XmlElement[]; from: number };

export function xmlText(bytes: Uint8Array): string {
  if (bytes.length > MAX_XML_BYTES) throw new Malformed(`longer than ${MAX_XML_BYTES} bytes`);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new Malformed('not UTF-8', { cause });
  }
}

/** The root element. Throws Malformed. */
export function readXml(text: string): XmlElement {
  const parser = new SaxesParser({ xmlns: true, position: true });
  const open: Growing[] = [];
  let root: XmlElement | undefined;
  let count = 0;
  const refuse = (what: string) => () => {
    throw new Malformed(what);
  };
  parser.on('error', (cause) => {
    throw new Malformed('not well-formed XML', { cause });
  });
  parser.on('doctype', refuse('a document type'));
  parser.on('processinginstruction', refuse('a processing instruction'));
  parser.on('opentagstart', () => {
    count += 1;
    if (count > MAX_ELEMENTS || open.length >= MAX_DEPTH) throw new Malformed('too many elements, or nested too deep');
  });
  parser.on('opentag', (tag) => open.push(grow(tag, text.lastIndexOf('<', parser.position - 1))));
  const add = (more: string) => {
    const last = open.at(-1);
    if (last !== undefined) last.text += more;
  };
  parser.on('text', add);
  parser.on('cdata', add);
  parser.on('closetag', () => {
    const { from, ...element } = open.pop() ?? grow(undefined, 0);
    const done = { ...element, source: text.slice(from, parser.position) };
    const parent = open.at(-1);
    if (parent === undefined) root = done;
    else parent.children.push(done);
  });
  parser.write(text).close();
  if (root === undefined) throw new Malformed('no element');
  return root;
}

function grow(tag: SaxesTagNS | undefined, from: number): Growing {
  const attributes = Object.values(tag?.attributes ?? {})
    .filter(({ uri }) => uri !== NAMESPACES)
    .map(({ uri, local, value }) => [uri === '' ? local : `{${uri}}${local}`, value] as const);
  return { namespace: tag?.uri ?? '', name: tag?.local ?? '', attributes: new Map(attributes), children: [], text: '', source: '', from };
}

/** Every element below and including this one. */
export function everyElement(element: XmlElement): readonly XmlElement[] {
  return [element, ...element.children.flatMap(everyElement)];
}
