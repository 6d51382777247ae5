import { Document, visit } from 'yaml';
/**
 * Objects as a file for `kubectl apply -f`: a document for each, in the order they are given.
 *
 * kubectl reads YAML 1.1, where `on`, `012` and `1:20` are no texts, and readers differ in what else is special; so a text that is not plainly
 * one is quoted.
 */
export function manifest(objects: readonly object[]): string {
  return objects.map((object) => `---\n${documentOf(object)}`).join('');
}

/** Texts that every reader takes as they are, unless they are a word such as `yes`, which the writer knows. */
const PLAIN = /^(?:[A-Za-z/][A-Za-z0-9 ._/@:-]*|\d+(?:m|[KMG]i))$/;
/** Text of several lines that can be written as such. */
const LINES = /^[\x20-\x7e\n]*$/;
/** Line ends of YAML 1.1, and control characters: in quotes they can be written by their number. */
const SPECIAL = /[\u007f-\u00a0\u2028\u2029\ufeff]/g;

function documentOf(object: object): string {
  const document = new Document(object, { version: '1.1', aliasDuplicateObjects: false });
  document.directives = undefined;
  visit(document, {
    Scalar: (_, node) => {
      if (typeof node.value !== 'string' || PLAIN.test(node.value)) return;
      node.type = node.value.includes('\n') && LINES.test(node.value) ? 'BLOCK_LITERAL' : 'QUOTE_DOUBLE';
    },
  });
  return document
    .toString({ lineWidth: 0 })
    .replaceAll(SPECIAL, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
