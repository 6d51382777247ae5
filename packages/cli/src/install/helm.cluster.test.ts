import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { Manifest } from '@slipway/kubernetes';
import { temporaryFolder } from '@slipway/testing';
import { givenCluster, type GivenCluster } from '@slipway/testing/cluster';
import { installed } from './installation.ts';
import { installations } from './installations-under-test.ts';
import { readValues } from './values.ts';

/** What the real Helm makes of the chart. No cluster is asked; it is with the tests of a cluster because these bring Helm. */

const chart = join(import.meta.dirname, '..', '..', '..', '..', 'chart');
const KUBERNETES = ['--kube-version', '1.36.0'];

let cluster: GivenCluster;
beforeAll(async () => {
  cluster = await givenCluster();
});
afterAll(() => cluster.api.close());

async function helm(...args: string[]): Promise<string> {
  return (await promisify(execFile)('helm', args)).stdout;
}

async function template(values: unknown): Promise<string> {
  const file = join(await temporaryFolder(), 'values.json');
  await writeFile(file, JSON.stringify(values));
  return await helm('template', 'slipway', chart, '--namespace', 'slipway', '--values', file, ...KUBERNETES);
}

describe.each(Object.entries(installations))('%s', (_, values) => {
  test('helm makes the same objects as slipway install', async ({ skip }) => {
    if (!cluster.has('helm', 'the comparison of the chart with slipway install')) skip();
    // Of what a condition leaves out, the comment stays.
    const made = parseAllDocuments(await template(values))
      .map((document): unknown => document.toJS())
      .filter((object) => object !== null)
      .map(comparable);
    const ours = installed({
      release: 'slipway',
      namespace: 'slipway',
      values: readValues(values),
      adminToken: 'slw_token',
    });
    const [namespace, ...others] = ours.map(comparable);
    expect(namespace).toMatchObject({ kind: 'Namespace' });
    expect(sorted(made)).toEqual(sorted(others));
  });
});

test('helm finds nothing to complain of', async ({ skip }) => {
  if (!cluster.has('helm', 'helm lint')) skip();
  expect(await helm('lint', chart, '--strict', '--set', 'image=slipway:1.0', ...KUBERNETES)).toContain(
    '0 chart(s) failed',
  );
});

test.each([
  ['no image', {}, "missing property 'image'"],
  ['a misspelt value', { image: 'x:1', storag: {} }, "additional properties 'storag' not allowed"],
  ['a wrong kind', { image: 'x:1', cluster: { port: 'http' } }, "at '/cluster/port': got string, want integer"],
  ['a wrong word', { image: 'x:1', expose: { via: 'proxy' } }, "at '/expose/via': value must be one of 'none'"],
  ['no host', { image: 'x:1', expose: { via: 'ingress' } }, 'expose.host: give the name'],
])('of %s helm says what is wrong', async (what, values, message) => {
  if (!cluster.has('helm', `the chart's answer to ${what}`)) return;
  await expect(template(values)).rejects.toThrow(message);
});

/** Who manages it, and a token that is made anew each time, are not the same. */
function comparable(object: unknown): unknown {
  const text = JSON.stringify(object)
    .replaceAll('"app.kubernetes.io/managed-by":"Helm"', '"app.kubernetes.io/managed-by":"slipway-install"')
    .replace(/"slw_[\w-]+"/, '"slw_token"');
  return JSON.parse(text) as unknown;
}

function sorted(objects: unknown[]): unknown[] {
  const key = (object: unknown) => JSON.stringify((object as Manifest).kind);
  return objects.toSorted((a, b) => key(a).localeCompare(key(b)));
}
