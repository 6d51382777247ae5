import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { trustedJson } from '../trusted-json.ts';

const root = join(import.meta.dirname, '..', '..', '..', '..');
const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8');

test('the image has the Node that everything is tested on', () => {
  const { devDependencies } = trustedJson<{ devDependencies: { node: string } }>(
    readFileSync(join(root, 'package.json'), 'utf8'),
  );
  const bases = [...dockerfile.matchAll(/^FROM node:([\d.]+)-/gm)].map(([, version]) => version);
  expect(bases).toEqual([devDependencies.node, devDependencies.node]);
});

test('the image is made of what the image of the test cluster is made of, and has the user of the pod', () => {
  expect(dockerfile).toContain('node packages/cli/stage-image.ts /opt/slipway');
  expect(dockerfile).toContain('USER 10001:10001');
  expect(dockerfile).toContain('useradd --uid 10001');
});
