import { runInThisContext } from 'node:vm';

/**
 * The process behind jest's copy: inside a test `process.env` is a copy that C libraries never see, and this one is what they
 * read. Outside jest it is simply `process`.
 */
export const realProcess = runInThisContext('process') as NodeJS.Process;
