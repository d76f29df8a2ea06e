/** What a suite of this folder needs from an engine, and example rows. Nothing here knows which engine it is. */
import { createHash, randomBytes } from 'node:crypto';
import { afterEach, beforeEach } from '@jest/globals';
import type { ModelRow, VersionRow } from '../../src/catalog/port.ts';
import { type Digest, type ModelId, type Namespace, newId, type SubjectId, type VersionId } from '../../src/domain/ids.ts';
import type { Tx } from '../../src/domain/unit-of-work.ts';
import type { Stores } from '../../src/stores/port.ts';

export interface StoresUnderTest {
  /** Empty at first. */
  readonly stores: Stores;
  /** Another instance on the same data, as a second node has. */
  second(): Promise<Stores>;
  /** Closes `stores` and opens the same data again. */
  reopen(): Promise<Stores>;
  /** Moves the database's time forward; nothing else moves it noticeably. */
  advance(milliseconds: number): Promise<void>;
  /** Closes every instance and removes the data. */
  remove(): Promise<void>;
}

export type OpenStores = () => Promise<StoresUnderTest>;

/** Fresh stores for each test of the surrounding `describe`. */
export function freshStores(open: OpenStores): () => StoresUnderTest {
  let current: StoresUnderTest | undefined;
  beforeEach(async () => {
    current = await open();
  });
  afterEach(async () => {
    await current?.remove();
    current = undefined;
  });
  return () => {
    if (current === undefined) throw new Error('called outside a test');
    return current;
  };
}

export function within<T>(stores: Stores, work: (tx: Tx) => Promise<T>): Promise<T> {
  return stores.unitOfWork.run(work);
}

/** The database's time. */
export function timeOf(stores: Stores): Promise<Date> {
  return within(stores, async (tx) => tx.now);
}

export function later(date: Date, milliseconds: number): Date {
  return new Date(date.getTime() + milliseconds);
}

export const NS = 'lab' as Namespace;
export const OTHER_NS = 'other' as Namespace;
/** A time with milliseconds, far from any that a test's clock shows. */
export const SOME_TIME = new Date('2026-03-01T12:00:00.123Z');

/** An id of any kind. */
export function id<T extends string>(at: Date = SOME_TIME): T {
  return newId<T>(at);
}

export function digest(text: string = randomBytes(8).toString('hex')): Digest {
  return createHash('sha256').update(text).digest('hex') as Digest;
}

export function bytes(length = 32): Uint8Array {
  return new Uint8Array(randomBytes(length));
}

/** Times `count` calls, all under way at once. */
export function atOnce<T>(count: number, call: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => call(index)));
}

export function model(name = 'falcon', namespace = NS): ModelRow {
  return { namespace, modelId: id<ModelId>(), name, class: 'restricted' };
}

export function version(of: ModelRow, createdAt = SOME_TIME): VersionRow {
  const { namespace, modelId } = of;
  return { namespace, modelId, versionId: id<VersionId>(createdAt), state: 'uploading', createdAt, wrappedDek: bytes(200) };
}

export function subjectId(): SubjectId {
  return id<SubjectId>();
}
