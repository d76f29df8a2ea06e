/** `npm run bench`: every benchmark, each against a peer run in the same minute. Prints ratios; promises nothing. */
import './sealed.ts';
