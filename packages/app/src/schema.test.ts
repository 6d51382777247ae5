import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { formatProblem, jsonSchema, parseApp } from './index.ts';

describe('slipway.schema.json', () => {
  test('is what "npm run schema" in packages/app makes', async () => {
    const file = await readFile(new URL('../slipway.schema.json', import.meta.url), 'utf8');
    expect(JSON.parse(file)).toEqual(JSON.parse(JSON.stringify(jsonSchema())));
  });

  test('describes every field', () => {
    const bare = fieldsOf(jsonSchema(), '').filter(({ field }) => !JSON.stringify(field).includes('"description"'));
    expect(bare).toEqual([]);
    expect(jsonSchema()).toMatchObject({ title: 'slipway.yaml', type: 'object', required: ['app'] });
  });
});

describe('docs/slipway-yaml.md', () => {
  const page = readFile(new URL('../../../docs/slipway-yaml.md', import.meta.url), 'utf8');

  test('every whole example is accepted, and every part of one completes to one that is', async () => {
    const blocks = [...(await page).matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');
    expect(blocks.length).toBeGreaterThan(5);
    for (const block of blocks) {
      if (block.startsWith('# config/')) continue;
      const whole = /^app:/m.test(block) ? block : `app: example\n${block}`;
      const runnable = /^(services|workers|jobs):/m.test(whole) ? whole : `${whole}services: { main: { run: x } }\n`;
      const parsed = parseApp(runnable);
      expect(parsed.ok ? [] : parsed.problems.map(formatProblem), block).toEqual([]);
    }
  });

  test('names every field', async () => {
    const text = await page;
    const fields = new Set(fieldsOf(jsonSchema(), '').map(({ name }) => name));
    expect(fields.size).toBeGreaterThan(40);
    expect([...fields].filter((field) => !text.includes(`\`${field}\``))).toEqual([]);
  });
});

/** Every field of a JSON Schema, at any depth. */
function fieldsOf(node: unknown, path: string): { name: string; path: string; field: unknown }[] {
  if (typeof node !== 'object' || node === null) return [];
  return Object.entries(node).flatMap(([key, value]: [string, unknown]) => {
    const inner = fieldsOf(value, `${path}.${key}`);
    if (key !== 'properties' || typeof value !== 'object' || value === null) return inner;
    return [
      ...Object.entries(value).map(([name, field]) => ({ name, path: `${path}.${name}`, field: field as unknown })),
      ...inner,
    ];
  });
}
