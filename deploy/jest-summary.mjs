// Leaves jest's counts in the file WV_JEST_SUMMARY names; bootstrap.mjs prints them as the last line once jest has ended.
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';

export default class JestSummary {
  onRunComplete(_contexts, results) {
    const file = process.env.WV_JEST_SUMMARY;
    if (file) writeFileSync(file, JSON.stringify(counts(results)));
  }
}

/** A test file that cannot even be loaded counts as one failure: jest's own test count leaves it out. */
function counts(results) {
  return {
    passed: results.numPassedTests,
    failed: results.numFailedTests + results.numRuntimeErrorTestSuites,
    skipped: results.numPendingTests + results.numTodoTests,
    failedFiles: results.testResults.filter((file) => file.testExecError || file.numFailingTests > 0).map(countsOfFile),
  };
}

function countsOfFile(file) {
  return {
    path: relative(process.cwd(), file.testFilePath),
    passed: file.numPassingTests,
    failed: file.numFailingTests + (file.testExecError ? 1 : 0),
    skipped: file.numPendingTests + file.numTodoTests,
  };
}
