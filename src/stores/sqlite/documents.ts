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

    async namespacesWith(tx, slot) {
      const sql = 'SELECT namespace FROM document_slots WHERE slot = :slot ORDER BY namespace';
      return join(tx)
        .all<{ namespace: Namespace }>(sql, { slot })
        .map(({ namespace }) => namespace);
    },
  };
}

const FILL_SLOT = `
  INSERT INTO document_slots (namespace, slot, digest, counter) VALUES (:namespace, :slot, :digest, :counter)
  ON CONFLICT (namespace, slot) DO NOTHING`;

const MOVE_SLOT = `
  UPDATE document_slots SET digest = :digest, counter = :counter
  WHERE namespace = :namespace AND slot = :slot AND counter = :counter - 1`;
