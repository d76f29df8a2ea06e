// Node 24 runs our .ts files by stripping their types; jest needs a transform for the same, and swc is the quickest.
// Imports end in `.ts` in both worlds, so nothing is remapped.
// Run as: node --experimental-vm-modules node_modules/jest/bin/jest.js (deploy/bootstrap.mjs does).

const swc = {
  jsc: {
    parser: { syntax: 'typescript' },
    target: 'esnext', // Node 24 has `using` and everything else natively: only the types are removed
    keepClassNames: true,
    transform: { verbatimModuleSyntax: true }, // as in tsconfig.json: an import without `type` is carried out
  },
  module: { type: 'es6' },
  sourceMaps: 'inline',
};

export default {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '^.+\\.ts$': ['@swc/jest', swc] },
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  testTimeout: 600_000, // milliseconds; ends what hangs, and judges no speed: CI may be slower than any machine we know, and busy
  maxWorkers: 3, // on two cores: the end-to-end tests mostly wait, for a next code or a clock
  reporters: ['default', '<rootDir>/deploy/jest-summary.mjs'],
};
