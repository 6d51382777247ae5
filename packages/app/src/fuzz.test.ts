import { randomFrom } from '@slipway/testing';
import { expect, test } from 'vitest';
import { isCollection, isMap, isScalar, isSeq, parseDocument, visit } from 'yaml';
import type { Node } from 'yaml';
import { formatProblem, parseApp, parseConfig } from './index.ts';

const VALID = `app: shop
services:
  web: &web
    build: npm ci
    run: node web.js
    image: registry.example.com/shop/web
    port: 3000
    health: /healthz
    route: /
    size: { cpu: 0.25, memory: 256Mi }
    replicas: 2..6
    needs: [api]
    start: 20s
  api: { <<: *web, route: /api, needs: [] }
workers:
  thumbnails:
    run: node thumbnails.js
    normal: { cpu: 0.5, memory: 500Mi, timeout: 20s }
    fallback: { cpu: 2, memory: 2Gi, timeout: 300s }
    rate: 100/s
jobs:
  migrate: { run: node migrate.js, when: before-deploy }
  report: { run: node report.js, schedule: "0 3 * * *" }
checks:
  test: { run: npm test, timeout: 5m }
  tools: auto
config: { LOG_LEVEL: info, N: 1.10 }
secrets: [DATABASE_URL, STRIPE_KEY]
databases:
  main: { engine: postgres, env: DATABASE_URL, seed: npm run seed }
environments:
  staging: { branch: main }
  production: { from: staging, approve: true, traffic: [5%, 25%, 100%], hold: 5m, host: shop.example.com }
  preview: { pull-requests: true, ttl: 72h, sleep: 30m }
`;

const VALUES = [
  null,
  true,
  0,
  -1,
  1e99,
  '',
  ' ',
  'x',
  '5%',
  '..',
  '<<',
  '__proto__',
  'constructor',
  [],
  {},
  [[]],
  { a: 1 },
  '*',
  '\u{1F6A2}',
  'é\u0000',
];

function duplicate(node: Node, index: number): void {
  if (!isMap(node) && !isSeq(node)) return;
  const items: unknown[] = node.items;
  items.push(items[index]);
}

/** Deletes, duplicates, renames or retypes one node. */
function mutateNode(text: string, random: () => number): string {
  const document = parseDocument(text, { merge: true, uniqueKeys: false });
  const pick = <T>(from: readonly T[]): T | undefined => from[Math.floor(random() * from.length)];
  const nodes: Node[] = [];
  visit(document, { Node: (_, node) => void nodes.push(node) });
  const node = pick(nodes);
  const kind = Math.floor(random() * 4);
  if (isCollection(node) && node.items.length > 0) {
    const index = Math.floor(random() * node.items.length);
    if (kind === 0) node.items.splice(index, 1);
    else if (kind === 1) duplicate(node, index);
    else if (kind === 2 && isMap(node)) {
      const pair = node.items[index];
      if (isScalar(pair?.key))
        pair.key.value = `${String(pair.key.value)}${pick(['', 's', 'X', '-'])}`.slice(Math.floor(random() * 2));
    } else if (isMap(node)) node.set(node.items[index]?.key, document.createNode(pick(VALUES)));
    else if (isSeq(node)) node.set(index, document.createNode(pick(VALUES)));
  } else if (isScalar(node)) node.value = pick(VALUES);
  try {
    return document.toString();
  } catch {
    return text; // an alias lost its anchor: the writer refuses, and there is nothing to read
  }
}

/** Deletes, repeats or replaces a few characters. */
function mutateText(text: string, random: () => number): string {
  const at = Math.floor(random() * text.length);
  const end = at + Math.floor(random() * 12);
  const noise = [
    '',
    '\t',
    '\n',
    '\r\n',
    ': ',
    '- ',
    '"',
    "'",
    '{',
    ']',
    '&a ',
    '*a',
    '<<: ',
    '#',
    '---\n',
    '!x ',
    '|\n',
    '\0',
    '\uFEFF',
    '% ',
    '? ',
  ];
  const put =
    random() < 0.3 ? text.slice(at, end) + text.slice(at, end) : (noise[Math.floor(random() * noise.length)] ?? '');
  return text.slice(0, at) + put + text.slice(end);
}

test('whatever is done to a file, the answer is an app or problems with a place inside the file', () => {
  expect(parseApp(VALID)).toMatchObject({ ok: true });
  let refused = 0;
  for (let seed = 1; seed <= 600; seed++) {
    const random = randomFrom(seed);
    let text = VALID;
    const rounds = 1 + Math.floor(random() * 3);
    for (let round = 0; round < rounds; round++) {
      text = random() < 0.6 ? mutateNode(text, random) : mutateText(text, random);
    }
    const parsed = parseApp(text);
    const config = parseConfig(text, { file: 'config/x.yaml' });
    const problems = [...(parsed.ok ? [] : parsed.problems), ...(config.ok ? [] : config.problems)];
    if (!parsed.ok) {
      refused += 1;
      expect(parsed.problems.length, text).toBeGreaterThan(0);
    }
    const lines = text.split('\n');
    for (const problem of problems) {
      const place = `${formatProblem(problem)}\n${text}`;
      expect(problem.line, place).toBeGreaterThanOrEqual(1);
      expect(problem.line, place).toBeLessThanOrEqual(lines.length);
      expect(problem.column, place).toBeGreaterThanOrEqual(1);
      expect(problem.column, place).toBeLessThanOrEqual((lines[problem.line - 1]?.length ?? 0) + 1);
      expect(problem.message, place).not.toMatch(/undefined|\[object/);
      expect(problem.message.includes('\n'), place).toBe(false);
    }
  }
  expect(refused).toBeGreaterThan(200);
});
