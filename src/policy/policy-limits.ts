/**
 * How large a policy may be, checked before Cedar sees it.
 *
 * Nesting matters most: Cedar 4.13 in WebAssembly overruns its stack on about 120 nested records or 400 chained operators, and after that trap
 * every later decision of the process fails. One author must not be able to stop the vault with one request.
 */
export const MAX_POLICIES = 1000;
export const MAX_POLICY_BYTES = 64 * 1024;
export const MAX_POLICY_SET_BYTES = 1024 * 1024;
/** Brackets within brackets. */
export const MAX_NESTING = 16;
/** Operators, dots, opening brackets, `if`, `when` and the like in one policy; each can make its syntax tree one deeper. */
export const MAX_OPERATORS = 200;

// Strings and comments end where Cedar's lexer ends them (cedar-policy-core, grammar.lalrpop); up to the first lexical error both agree.
const TOKENS = /\/\/[^\n\r]*|"(?:\\[^\n]|[^"\\])*"|[()[\]{};]|&&|\|\||[-+*.!<>=]=?|\b(?:if|when|unless|has|like|in|is)\b/g;

/** What is too large about a set as a whole. */
export function setSizeProblems(policies: Readonly<Record<string, string>>): string[] {
  const texts = Object.values(policies);
  if (texts.length > MAX_POLICIES) return [`at most ${MAX_POLICIES} policies`];
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  return bytes > MAX_POLICY_SET_BYTES ? [`at most ${MAX_POLICY_SET_BYTES} bytes in all policies together`] : [];
}

/** What is too large about one policy, or about any policy of a file. Undefined when nothing is. */
export function depthProblem(text: string): string | undefined {
  let nesting = 0;
  let operators = 0;
  for (const [token] of text.matchAll(TOKENS)) {
    if (token.startsWith('//') || token.startsWith('"')) continue;
    if (token === ';') {
      nesting = 0;
      operators = 0;
    } else if (')]}'.includes(token)) {
      nesting -= 1;
    } else {
      operators += 1;
      if ('([{'.includes(token)) nesting += 1;
    }
    if (nesting > MAX_NESTING) return `brackets are nested more than ${MAX_NESTING} deep`;
    if (operators > MAX_OPERATORS) return `more than ${MAX_OPERATORS} operators in one policy: use containsAny, or two policies`;
  }
  return undefined;
}
