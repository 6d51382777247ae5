import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { app, objectsOf } from './plans-under-test.ts';
import { validate } from './schema-under-test.ts';

test('every example of docs/kubernetes.md can be rendered', () => {
  const page = readFileSync(new URL('../../../docs/kubernetes.md', import.meta.url), 'utf8');
  const blocks = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, block = '']) => block);
  expect(blocks).toHaveLength(2);
  const services = 'app: shop\nservices: { web: { run: x, image: shop, replicas: 1..3 } }\n';
  for (const block of blocks) {
    const objects = objectsOf(app(/^app:/m.test(block) ? block : `${services}${block}`), 'production');
    for (const object of objects) validate(object);
  }
});
