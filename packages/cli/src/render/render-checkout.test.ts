import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { temporaryFolder } from '@slipway/testing';
import { slipway } from '../test/slipway.ts';

const run = promisify(execFile);
const COMMIT = '1234567890abcdef1234567890abcdef12345678';
const DIGEST = `sha256:${'a'.repeat(64)}`;
const OFFLINE = ['--no-resolve', '--domain', 'example.com'];

const YAML = `app: shop
services: { web: { run: node web.js, image: registry.example.com/shop } }
config: { LOG_LEVEL: info }
environments:
  staging: { branch: main }
  production: { from: staging, host: shop.example.com }
  preview: { pull-requests: true }
`;

async function checkout(yaml: string): Promise<string> {
  const folder = await temporaryFolder();
  await mkdir(join(folder, 'config'));
  await writeFile(join(folder, 'slipway.yaml'), yaml);
  await writeFile(join(folder, 'config/production.yaml'), 'LOG_LEVEL: warn\n');
  await git(folder, 'init', '-q', '-b', 'main');
  await commit(folder);
  return folder;
}

async function commit(folder: string): Promise<string> {
  await git(folder, 'add', '.');
  await git(folder, '-c', 'user.name=t', '-c', 'user.email=t@example.com', 'commit', '-qm', 'change');
  return (await git(folder, 'rev-parse', 'HEAD')).trim();
}

async function git(folder: string, ...args: string[]): Promise<string> {
  return (await run('git', ['-C', folder, ...args])).stdout;
}

function documents(text: string): Record<string, unknown>[] {
  return parseAllDocuments(text).map((document) => document.toJS() as Record<string, unknown>);
}

test('a checkout is enough: no control plane, no cluster, no registry', async () => {
  const folder = await checkout(YAML);
  const head = (await git(folder, 'rev-parse', 'HEAD')).trim();
  const printed = await slipway(['render', 'shop/production', '--no-resolve'], {
    cwd: folder,
    home: join(folder, 'none'),
  });
  expect(printed).toMatchObject({ code: 0, stderr: '' });
  const objects = documents(printed.stdout);
  expect(objects[0]).toMatchObject({ kind: 'Namespace', metadata: { name: 'shop--production' } });
  expect(objects.find(({ kind }) => kind === 'ConfigMap')).toMatchObject({ data: { LOG_LEVEL: 'warn' } });
  expect(printed.stdout).toContain(`image: registry.example.com/shop:${head}\n`);
  expect(objects.at(-1)).toMatchObject({ kind: 'HTTPRoute', spec: { hostnames: ['shop.example.com'] } });

  const json = await slipway(['render', 'shop/production', '--no-resolve', '--json', '--folder', folder]);
  expect(JSON.parse(json.stdout)).toEqual({ apiVersion: 'v1', kind: 'List', items: objects });
});

test('images are pinned by the digest that the registry has for the commit', async () => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    if (request.headers.authorization === undefined)
      response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
    else if (request.url?.endsWith(COMMIT)) response.setHeader('docker-content-digest', DIGEST).end();
    else response.writeHead(404).end();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  onTestFinished(() => void server.close());
  const registry = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const folder = await checkout(YAML.replace('registry.example.com', registry));
  const auth = Buffer.from('user:word').toString('base64');
  await writeFile(join(folder, 'config.json'), JSON.stringify({ auths: { [registry]: { auth } } }));
  const env = { DOCKER_CONFIG: folder };
  const printed = await slipway(['render', 'shop/production', '--commit', COMMIT], { cwd: folder, env });
  expect(printed).toMatchObject({ code: 0, stderr: '' });
  expect(printed.stdout).toContain(`image: "${registry}/shop@${DIGEST}"\n`);
  expect(asked).toEqual([
    `HEAD /v2/shop/manifests/${COMMIT} undefined`,
    `HEAD /v2/shop/manifests/${COMMIT} Basic ${auth}`,
  ]);

  expect(await slipway(['render', 'shop/production', '--commit', 'abcdef0'], { cwd: folder, env })).toMatchObject({
    code: 2,
    stdout: '',
    stderr: `slipway: there is no image ${registry}/shop:abcdef0. Push the image of this commit first; or pin one in slipway.yaml, NAME@sha256:DIGEST; or leave tags as they are with --no-resolve.\n`,
  });
});

test('a pull request is patched as the default branch says, not as it says itself', async () => {
  const patches = (name: string): string =>
    `${YAML}kubernetes:\n  patches:\n    - { target: { kind: Deployment }, patch: { spec: { template: { spec: { priorityClassName: ${name} } } } } }\n`;
  const origin = await checkout(patches('of-main'));
  const folder = join(await temporaryFolder(), 'clone');
  await run('git', ['clone', '-q', origin, folder]);
  await git(folder, 'checkout', '-q', '-b', 'feature');
  await writeFile(join(folder, 'slipway.yaml'), patches('of-feature'));
  await commit(folder);
  const classOf = async (environment: string, ...more: string[]): Promise<string | undefined> => {
    const { stdout, stderr } = await slipway(['render', environment, ...OFFLINE, ...more], { cwd: folder });
    expect(stderr).toBe('');
    return /priorityClassName: (.*)/.exec(stdout)?.[1];
  };
  expect(await classOf('shop/pr-12')).toBe('of-main');
  expect(await classOf('shop/pr-12', '--policy', 'HEAD')).toBe('of-feature');
  expect(await classOf('shop/staging')).toBe('of-feature');
  expect(await classOf('shop/staging', '--policy', 'origin/main')).toBe('of-main');

  await writeFile(join(folder, 'slipway.yaml'), patches('x').replace('priorityClassName: x', 'hostNetwork: true'));
  await commit(folder);
  expect((await slipway(['render', 'shop/staging', ...OFFLINE], { cwd: folder })).stderr).toBe(
    'slipway: slipway.yaml:10:7 kubernetes.patches[0]: is refused for Deployment web: it shares hostNetwork with the node. What patches may change is told in docs/kubernetes.md.\n',
  );
  expect((await slipway(['render', 'shop/pr-1', ...OFFLINE, '--policy', 'HEAD'], { cwd: folder })).stderr).toContain(
    'slipway: HEAD:slipway.yaml:10:7 kubernetes.patches[0]: is refused',
  );
});

test("secrets are somebody else's, and only named", async () => {
  const folder = await checkout(`${YAML}secrets: [STRIPE_KEY]\nworkers: { mail: { run: node mail.js } }\n`);
  expect(await slipway(['render', 'shop/staging', ...OFFLINE], { cwd: folder })).toMatchObject({
    code: 2,
    stderr:
      'slipway: the app has secrets (STRIPE_KEY), and their values are not printed. Name the Secret in the namespace of the environment that holds them: --secret NAME\n',
  });
  const printed = await slipway(['render', 'shop/staging', ...OFFLINE, '--secret', 'shop'], { cwd: folder });
  expect(printed).toMatchObject({ code: 0, stderr: '' });
  expect(printed.stdout).toContain('            - secretRef:\n                name: shop\n');
  expect(printed.stdout).not.toContain('kind: Secret');
});

test.each<[string[], string]>([
  [['shop'], "'shop' does not name an environment. Write APP/ENV, e.g. shop/staging. What there is: slipway status"],
  [
    ['shp/staging'],
    'slipway.yaml here is of the app shop, not of shp. Write shop/staging, or name the right checkout with --folder.',
  ],
  [
    ['shop/stagin'],
    'shop has no environment stagin. Did you mean shop/staging? It has staging, production, pr-NUMBER.',
  ],
  [
    ['shop/preview'],
    'preview stands for an environment for each pull request. Name one by its number, such as shop/pr-12.',
  ],
  [
    ['shop/staging', '--no-resolve'],
    'shop/staging has a service with a route, but no host name. Give the environment a host in slipway.yaml, or name the domain below which it has one: slipway render --domain DOMAIN',
  ],
  [['shop/staging', '--commit', 'main'], "--commit is 'main'. Give the hash of a commit, 7 to 64 hexadecimal digits."],
  [
    ['shop/staging', '--gateway', 'a/b', '--ingress', 'a/b'],
    'found both --gateway and --ingress, expected the one by which requests come in.',
  ],
  [['shop/staging', '--gateway', 'a'], "--gateway is 'a'. Give it with its namespace: --gateway NAMESPACE/NAME"],
  [['shop/staging', '--reach', '10.0.0.0/33'], "--reach is '10.0.0.0/33'. Give a network such as 10.20.0.0/16."],
  [
    ['shop/staging', '--secret', 'A b'],
    "--secret is 'A b'. Give the name of an object: lower-case letters, digits, hyphens and dots.",
  ],
  [
    ['shop/staging', '--policy', 'nowhere'],
    "slipway.yaml of nowhere, whose policy counts, can't be read. Name a branch that has it, and that this clone has fetched: --policy origin/main",
  ],
  [
    ['shop/staging', '--policy=--output=x'],
    "slipway.yaml of --output=x, whose policy counts, can't be read. Name a branch that has it, and that this clone has fetched: --policy origin/main",
  ],
  [
    ['shop/staging', '--folder', 'config'],
    'there is no FOLDER/config/slipway.yaml. Run it in the checkout, or name it with --folder.',
  ],
])('%j is a mistake', async (args, message) => {
  const folder = await checkout(YAML);
  const { code, stdout, stderr } = await slipway(['render', ...args], { cwd: folder });
  expect({ code, stdout, stderr: stderr.replaceAll(folder, 'FOLDER') }).toEqual({
    code: 2,
    stdout: '',
    stderr: `slipway: ${message}\n`,
  });
});

test('a service without an image can not be rendered, nor a folder without a commit', async () => {
  const folder = await checkout(YAML.replace(', image: registry.example.com/shop', ''));
  expect((await slipway(['render', 'shop/staging', ...OFFLINE], { cwd: folder })).stderr).toBe(
    'slipway: services.web has no image, and Kubernetes runs images only. Give it one in slipway.yaml, such as image: registry.example.com/shop/web\n',
  );
  const bare = await temporaryFolder();
  await writeFile(join(bare, 'slipway.yaml'), YAML);
  expect((await slipway(['render', 'shop/staging', ...OFFLINE], { cwd: bare })).stderr).toBe(
    `slipway: ${bare} has no commit that is checked out, and the commit is the tag of its images. Run it in a git checkout, or name the commit with --commit.\n`,
  );
});
