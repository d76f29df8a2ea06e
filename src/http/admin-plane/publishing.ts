/** Models and their versions, up to quarantine. */
import { z } from 'zod';
import { DEFAULTS } from '../../domain/classes.ts';
import { VaultError } from '../../domain/errors.ts';
import { parseId, parseName, type VersionId } from '../../domain/ids.ts';
import { listModels, listVersions, readModel } from '../../vault/catalogue.ts';
import { createModel, finishVersion, putObject, startVersion, uploadedObjects } from '../../vault/publish.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../route.ts';
import * as answers from './answers.ts';
import * as bodies from './bodies.ts';
import { type AdminCallers, NAMESPACE } from './callers.ts';

/** How many at once, unless the query says less. */
const PAGE = 100;
const limit = z
  .string()
  .regex(/^(?:[1-9][0-9]?|100)$/)
  .default(String(PAGE))
  .transform(Number);
const modelsPage = z.strictObject({ limit, after: z.string().max(64).optional() });
const versionsPage = z.strictObject({ limit, before: z.string().max(64).optional() });

export function publishingRoutes(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  return [
    forAdministrator({
      method: 'post',
      path: `${NAMESPACE}/models`,
      action: 'createModel',
      operationId: 'createModel',
      summary: 'Create a model, or find the one of that name and class',
      body: bodies.model,
      answers: { 201: answers.model },
      handle: ({ actor, params, body }) => createModel(actor, { ...params, ...body }, vault),
    }),
    forAdministrator({
      method: 'get',
      path: `${NAMESPACE}/models`,
      action: 'readCatalogue',
      operationId: 'listModels',
      summary: 'Models in order of name; `after` a name, at most `limit`',
      query: modelsPage,
      answers: { 200: answers.models },
      handle: ({ actor, params, query }) => {
        const after = query.after === undefined ? {} : { after: parseName(query.after, 'after') };
        return listModels(actor, params.namespace, { limit: query.limit, ...after }, vault);
      },
    }),
    forAdministrator({
      method: 'get',
      path: `${NAMESPACE}/models/:model/versions`,
      action: 'readCatalogue',
      operationId: 'listVersions',
      summary: 'Versions of a model, newest first, as their signed documents say; older than `before`, at most `limit`',
      query: versionsPage,
      answers: { 200: answers.versions },
      handle: ({ actor, params, query }) => {
        const before = query.before === undefined ? {} : { before: parseId<VersionId>(query.before, 'before') };
        return listVersions(actor, params.namespace, params.model, { limit: query.limit, ...before }, vault);
      },
    }),
    forAdministrator({
      method: 'get',
      path: `${NAMESPACE}/models/:model`,
      action: 'readCatalogue',
      operationId: 'readModel',
      summary: 'A model and its newest versions',
      answers: { 200: answers.modelWithVersions },
      handle: ({ actor, params }) => readModel(actor, params.namespace, params.model, vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${NAMESPACE}/models/:model/versions`,
      action: 'publishVersion',
      operationId: 'startVersion',
      summary: 'Start a version under a new data key',
      answers: { 201: answers.startedVersion },
      handle: async ({ actor, params }) => {
        const { versionId } = await startVersion(actor, params.namespace, params.model, vault);
        return { versionId };
      },
    }),
    forAdministrator({
      method: 'put',
      path: `${NAMESPACE}/versions/:version/objects/*path`,
      action: 'publishVersion',
      operationId: 'putObject',
      summary: 'Upload one object; it is sealed while it arrives',
      body: 'bytes',
      answers: { 201: answers.object },
      handle: async ({ actor, params, request }) => {
        const target = { namespace: params.namespace, versionId: params.version, path: params.path };
        const { path, size, sha256 } = await putObject(actor, target, arriving(request), vault);
        return { path, size, sha256 };
      },
    }),
    forAdministrator({
      method: 'get',
      path: `${NAMESPACE}/versions/:version/objects`,
      action: 'publishVersion',
      operationId: 'readUploaded',
      summary: 'What has arrived of a version that is being uploaded',
      answers: { 200: answers.uploaded },
      handle: ({ actor, params }) => uploadedObjects(actor, { namespace: params.namespace, versionId: params.version }, vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${NAMESPACE}/versions/:version/finish`,
      action: 'publishVersion',
      operationId: 'finishVersion',
      summary: 'Close the upload, sign the manifest, ask for promotion',
      body: bodies.finish,
      bodyBytes: DEFAULTS.evidenceBodyBytes,
      answers: { 200: answers.finishedVersion },
      handle: ({ actor, params, body }) => finishVersion(actor, { namespace: params.namespace, versionId: params.version }, body, vault),
    }),
  ];
}

/** A publisher who goes away is no failure of the vault, and nothing that an operator must be told of. */
async function* arriving(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  try {
    yield* body;
  } catch (cause) {
    throw new VaultError('request_invalid', 'the upload broke off', { cause });
  }
}
