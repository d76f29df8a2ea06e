import type { DocumentStore, SignedDocument, SlotPointer } from '../../documents/port.ts';
import type { Namespace } from '../../domain/ids.ts';
import { bytesOf, type Join } from './transaction.ts';

export function sqliteDocuments(join: Join): DocumentStore {
  return {
    async put(tx, document) {
      join(tx).run(
        `INSERT INTO documents (digest, kind, bytes, signature) VALUES (:digest, :kind, :bytes, :signature)
         ON CONFLICT (digest) DO NOTHING`,
        { ...document },
      );
    },

    async get(tx, digest) {
      const row = join(tx).get<SignedDocument>('SELECT digest, kind, bytes, signature FROM documents WHERE digest = :digest', { digest });
      return row && { ...row, bytes: bytesOf(row.bytes), signature: bytesOf(row.signature) };
    },

    async point(tx, namespace, slot, pointer) {
      const sql = pointer.counter === 1 ? FILL_SLOT : MOVE_SLOT;
      return join(tx).run(sql, { namespace, slot, digest: pointer.digest, counter: pointer.counter }) === 1;
    },

    async current(tx, namespace, slot) {
      return join(tx).get<SlotPointer>('SELECT digest, counter FROM document_slots WHERE namespace = :namespace AND slot = :slot', {
        namespace,
        slot,
      });
    },

    async slots(tx, kind) {
      const rows = join(tx).all<{ namespace: Namespace; slot: string }>(SLOTS, { kind, from: `${kind}:`, to: `${kind};` });
      return rows.map(({ namespace, slot }) => ({ namespace, ...(slot !== kind && { item: slot.slice(kind.length + 1) }) }));
    },

    async page(tx, limit, after, kind) {
      const rows = join(tx).all<SignedDocument>(PAGE, { limit, after: after ?? '', kind });
      return rows.map((row) => ({ ...row, bytes: bytesOf(row.bytes), signature: bytesOf(row.signature) }));
    },

    async erase(tx, digest) {
      const joined = join(tx);
      joined.run('INSERT INTO erased_documents (digest) VALUES (:digest) ON CONFLICT DO NOTHING', { digest });
      joined.run('DELETE FROM former_signatures WHERE digest = :digest', { digest });
      joined.run('DELETE FROM documents WHERE digest = :digest', { digest });
    },

    async resign(tx, digest, signature) {
      join(tx).run(KEEP_SIGNATURE, { digest });
      join(tx).run('UPDATE documents SET signature = :signature WHERE digest = :digest', { digest, signature });
    },
  };
}

const FILL_SLOT = `
  INSERT INTO document_slots (namespace, slot, digest, counter) VALUES (:namespace, :slot, :digest, :counter)
  ON CONFLICT (namespace, slot) DO NOTHING`;

/** ';' comes after ':'. */
const SLOTS = `
  SELECT namespace, slot FROM document_slots WHERE slot = :kind OR (slot > :from AND slot < :to) ORDER BY namespace, slot`;

const PAGE = `
  SELECT digest, kind, bytes, signature FROM documents
  WHERE digest > :after AND (:kind IS NULL OR kind = :kind) ORDER BY digest LIMIT :limit`;

const KEEP_SIGNATURE = `
  INSERT INTO former_signatures (digest, signature) SELECT digest, signature FROM documents WHERE digest = :digest ON CONFLICT DO NOTHING`;

const MOVE_SLOT = `
  UPDATE document_slots SET digest = :digest, counter = :counter
  WHERE namespace = :namespace AND slot = :slot AND counter = :counter - 1`;
