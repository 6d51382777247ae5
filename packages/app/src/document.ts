import { Composer, LineCounter, Parser, isAlias, isCollection, isNode, isPair, isMap, isScalar, isSeq } from 'yaml';
import type { Document, Pair, YAMLError, YAMLMap } from 'yaml';
import type { Problem } from './app.ts';
import { quote } from './names.ts';

export type Path = readonly PropertyKey[];

/** One mistake before it has a position: where in the document, and whether the key or its value is at fault. */
export interface Issue {
  path: Path;
  at: 'key' | 'value';
  message: string;
  /** The keys that any one of would have prevented this. */
  lacks?: Path[];
  /** The key that was most likely meant by an unknown one. */
  meant?: Path;
}

export interface YamlDocument {
  /** What the file says, as plain values; null for an empty file. */
  root: unknown;
  /** The text of a scalar as it was written (`1.10`, not 1.1); null when there is no scalar. */
  written(path: Path): string | null;
  problem(issue: Issue): Problem;
}

const MAX_CHARACTERS = 256 * 1024;
const MAX_DEPTH = 32;
/** How often aliases may repeat what they stand for: enough for real files, too few for an alias bomb. */
const MAX_ALIASES = 200;

/**
 * Reads YAML 1.2 with anchors and merge keys, and keeps where everything was written. Never throws.
 * Text that is no YAML has `document: null`; a key given twice is a problem, but the rest can still be looked at.
 */
export function readYaml(text: string, file: string): { document: YamlDocument | null; problems: Problem[] } {
  const lines = new LineCounter();
  const at = (offset: number, message: string, path: Path = []): Problem => {
    const { line, col } = lines.linePos(Math.max(0, Math.min(offset, text.length)));
    return { file, line: Math.max(1, line), column: Math.max(1, col), path: formatPath(path), message };
  };
  lines.addNewLine(0);
  if (text.length > MAX_CHARACTERS) {
    const size = Math.ceil(text.length / 1024);
    return {
      document: null,
      problems: [at(0, `found ${size} KiB, expected at most 256 KiB: split the app, or move data out of this file`)],
    };
  }
  lines.lineStarts.length = 0;
  const tokens = [...new Parser(lines.addNewLine).parse(text)];
  if (lines.lineStarts.length === 0) lines.addNewLine(0);
  const deep = tooDeep(tokens);
  if (deep !== null) {
    return {
      document: null,
      problems: [at(deep, `found more than ${MAX_DEPTH} levels of nesting, expected no more than the fields need`)],
    };
  }
  const composer = new Composer({ stringKeys: true, merge: true, uniqueKeys: false });
  const documents = [...composer.compose(tokens, true, text.length)];
  const first = documents[0];
  if (!first) return { document: null, problems: [at(0, 'found nothing, expected YAML')] };
  const errors = [...first.errors, ...first.warnings].map((error) => at(error.pos[0], syntaxMessage(error, text)));
  const second = documents[1];
  if (second)
    errors.push(at(second.range[0], 'found a second document after "---", expected one document in one file'));
  if (errors.length > 0) return { document: null, problems: firstOfEachLine(errors) };

  let root: unknown;
  try {
    root = first.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { document: null, problems: [at(aliasOffset(first, message), aliasMessage(message))] };
  }
  return {
    document: {
      root,
      written: (path) => {
        const node = resolve(find(first, path).value, first);
        return isScalar(node) ? (node.source ?? String(node.value)) : null;
      },
      problem: (issue) => {
        const found = find(first, issue.path);
        const value = offsetOf(found.value);
        // An empty value has no place of its own that a person would look at: point at its key.
        const empty = isScalar(found.value) && (found.value.source ?? '') === '' && found.value.type === 'PLAIN';
        const offset = issue.at === 'key' || empty || value === null ? (found.key ?? value) : value;
        return at(offset ?? offsetOf(first.contents) ?? 0, issue.message, issue.path);
      },
    },
    problems: duplicateKeys(first).map(({ offset, path, key }) =>
      at(offset, `${quote(key)} is given twice here, expected each key once: remove one of them`, path),
    ),
  };
}

/** `services.web.needs[0]`. */
export function formatPath(path: Path): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += `${text === '' ? '' : '.'}${String(part)}`;
  }
  return text.length > 200 ? `${text.slice(0, 197)}...` : text;
}

/** Offset of the first token nested deeper than allowed. Composing is recursive, so this comes before it. */
function tooDeep(tokens: readonly unknown[]): number | null {
  interface Token {
    offset?: number;
    value?: unknown;
    items?: { key?: unknown; value?: unknown }[];
  }
  const stack = tokens.map((token) => ({ token, depth: 0, offset: 0 }));
  for (let next = stack.pop(); next; next = stack.pop()) {
    if (typeof next.token !== 'object' || next.token === null) continue;
    const token: Token = next.token;
    const offset = token.offset ?? next.offset;
    if (next.depth > MAX_DEPTH) return offset;
    if (!token.items) stack.push({ token: token.value, depth: next.depth, offset });
    for (const item of token.items ?? []) {
      for (const child of [item.key, item.value]) stack.push({ token: child, depth: next.depth + 1, offset });
    }
  }
  return null;
}

/** Walks a path through aliases and merge keys. What is missing has the position of the nearest parent. */
function find(document: Document.Parsed, path: Path): { key: number | null; value: unknown } {
  let key: number | null = null;
  let value: unknown = document.contents;
  for (const part of path) {
    const node = resolve(value, document);
    if (isSeq(node) && typeof part === 'number') {
      value = node.items[part];
      key = offsetOf(value) ?? key;
      continue;
    }
    const pair = isMap(node) ? findPair(node, String(part), document) : undefined;
    if (!pair) return { key: key ?? offsetOf(value), value: key === null ? value : null };
    key = offsetOf(pair.key) ?? key;
    value = pair.value;
  }
  return { key, value };
}

function findPair(map: YAMLMap, key: string, document: Document.Parsed): Pair | undefined {
  const own = pairsOf(map).get(key);
  if (own) return own;
  for (const pair of map.items) {
    if (!isScalar(pair.key) || pair.key.source !== '<<') continue;
    const merged = resolve(pair.value, document);
    const sources: unknown[] = isSeq(merged) ? merged.items.map((item) => resolve(item, document)) : [merged];
    for (const source of sources) {
      const found = isMap(source) ? findPair(source, key, document) : undefined;
      if (found) return found;
    }
  }
  return undefined;
}

/** Keys of the mappings that were looked into: a file with thousands of mistakes in one mapping is still answered soon. */
const KNOWN_PAIRS = new WeakMap<YAMLMap, Map<string, Pair>>();

function pairsOf(map: YAMLMap): Map<string, Pair> {
  const known = KNOWN_PAIRS.get(map);
  if (known) return known;
  const pairs = new Map<string, Pair>();
  for (const pair of map.items) if (isScalar(pair.key)) pairs.set(String(pair.key.value), pair);
  KNOWN_PAIRS.set(map, pairs);
  return pairs;
}

function resolve(node: unknown, document: Document.Parsed): unknown {
  return isAlias(node) ? node.resolve(document) : node;
}

function offsetOf(node: unknown): number | null {
  return isNode(node) ? (node.range?.[0] ?? null) : null;
}

function duplicateKeys(document: Document.Parsed): { offset: number; path: Path; key: string }[] {
  const found: { offset: number; path: Path; key: string }[] = [];
  const walk = (node: unknown, path: Path): void => {
    if (!isCollection(node)) return;
    const seen = new Set<string>();
    for (const [index, item] of node.items.entries()) {
      if (isPair(item)) {
        const key = isScalar(item.key) ? String(item.key.value) : '';
        if (seen.has(key) && key !== '<<') found.push({ offset: offsetOf(item.key) ?? 0, path: [...path, key], key });
        seen.add(key);
        walk(item.value, [...path, key]);
      } else walk(item, [...path, index]);
    }
  };
  walk(document.contents, []);
  return found;
}

function syntaxMessage(error: YAMLError, text: string): string {
  const start = text.lastIndexOf('\n', error.pos[0] - 1) + 1;
  const line = text.slice(start, text.indexOf('\n', start) === -1 ? undefined : text.indexOf('\n', start));
  if (error.code === 'TAB_AS_INDENT' || /^ *\t/.test(line))
    return 'found a tab, expected spaces: YAML is indented with spaces only';
  if (/^\s*(schedule|.*[{,]\s*schedule)\s*:\s*[*]/.test(line)) {
    return 'found a schedule that begins with *, which YAML reads as an alias; expected quotes around it, such as schedule: "*/5 * * * *"';
  }
  if (error.code === 'BAD_SCALAR_START')
    return `found a character that can't begin a value, expected quotes around it (${firstLine(error.message)})`;
  if (error.code === 'NON_STRING_KEY') return 'found a list or mapping as a key, expected a text';
  if (error.code === 'BLOCK_AS_IMPLICIT_KEY')
    return 'found a second ": " on one line, expected quotes around a value that holds ": "';
  return `this is not valid YAML: ${firstLine(error.message)}`;
}

/** One broken character makes the reader stumble several times; the first of a line is the one to mend. */
function firstOfEachLine(problems: Problem[]): Problem[] {
  const lines = new Set<number>();
  return problems.filter((problem) => !lines.has(problem.line) && lines.add(problem.line));
}

function aliasMessage(message: string): string {
  const unresolved = /alias must be set before the alias\): (.*)$|alias\): (.*)$/.exec(message);
  if (unresolved)
    return `found the alias *${unresolved[1] ?? unresolved[2]}, expected an anchor &${unresolved[1] ?? unresolved[2]} before it; if it is no alias, put it in quotes`;
  if (message.startsWith('Excessive alias'))
    return 'found aliases that repeat too much, expected a file that is small when they are written out';
  if (message.startsWith('Merge sources'))
    return 'found "<<" with something else than a mapping, expected an alias of a mapping';
  return `this is not valid YAML: ${firstLine(message)}`;
}

/** Where the alias is that a message of the YAML reader is about; else the first alias. */
function aliasOffset(document: Document.Parsed, message: string): number {
  const offsets: { source: string; offset: number }[] = [];
  const walk = (node: unknown): void => {
    if (isAlias(node)) offsets.push({ source: node.source, offset: offsetOf(node) ?? 0 });
    else if (isMap(node)) for (const pair of node.items) [pair.key, pair.value].forEach(walk);
    else if (isSeq(node)) node.items.forEach(walk);
  };
  walk(document.contents);
  return (offsets.find(({ source }) => message.endsWith(`: ${source}`)) ?? offsets[0])?.offset ?? 0;
}

function firstLine(message: string): string {
  return message.split('\n')[0] ?? message;
}
