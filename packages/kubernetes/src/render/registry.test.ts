import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { freePort } from '@slipway/testing';
import { placeOf, resolveDigest } from './registry.ts';
import { hasRegistry, loginOf, serve, startRegistry } from './registry-under-test.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

test('an image without a host is on Docker Hub', () => {
  expect(placeOf('node')).toEqual({ registry: 'registry-1.docker.io', repository: 'library/node' });
  expect(placeOf('shop/web')).toEqual({ registry: 'registry-1.docker.io', repository: 'shop/web' });
  expect(placeOf('docker.io/node')).toEqual({ registry: 'registry-1.docker.io', repository: 'library/node' });
  expect(placeOf('ghcr.io/x/y/z')).toEqual({ registry: 'ghcr.io', repository: 'x/y/z' });
  expect(placeOf('localhost/x')).toEqual({ registry: 'localhost', repository: 'x' });
  expect(placeOf('host:5000/x')).toEqual({ registry: 'host:5000', repository: 'x' });
});

describe.runIf(hasRegistry("the tests of digests with Docker's registry"))("Docker's registry", () => {
  test('says the digest of a tag, also of an index, and when there is none', async () => {
    const registry = await startRegistry();
    const image = `${registry}/shop/web`;
    const manifest = await push(image, 'one', 'application/vnd.oci.image.manifest.v1+json', {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: await pushBlob(image, '{}', 'application/vnd.oci.image.config.v1+json'),
      layers: [],
    });
    expect(await resolveDigest(image, 'one')).toBe(manifest.digest);
    const index = await push(image, 'all', 'application/vnd.oci.image.index.v1+json', {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [{ ...manifest, platform: { architecture: 'amd64', os: 'linux' } }],
    });
    expect(await resolveDigest(image, 'all')).toBe(index.digest);
    await expect(resolveDigest(image, 'two')).rejects.toMatchObject({
      kind: 'not-found',
      message: `there is no image ${image}:two`,
      hint: expect.stringContaining('Push the image of this commit first') as string,
    });
  });
});

interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}

async function pushBlob(image: string, content: string, mediaType: string): Promise<Descriptor> {
  const [host, ...name] = image.split('/');
  const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`;
  const begun = await fetch(`http://${host}/v2/${name.join('/')}/blobs/uploads/`, { method: 'POST' });
  const place = new URL(begun.headers.get('location') ?? '', `http://${host}`);
  place.searchParams.set('digest', digest);
  const done = await fetch(place, {
    method: 'PUT',
    body: content,
    headers: { 'content-type': 'application/octet-stream' },
  });
  expect(done.status).toBe(201);
  return { mediaType, digest, size: Buffer.byteLength(content) };
}

async function push(image: string, tag: string, mediaType: string, manifest: object): Promise<Descriptor> {
  const [host, ...name] = image.split('/');
  const body = JSON.stringify(manifest);
  const put = await fetch(`http://${host}/v2/${name.join('/')}/manifests/${tag}`, {
    method: 'PUT',
    body,
    headers: { 'content-type': mediaType },
  });
  expect(put.status, await put.text()).toBe(201);
  return {
    mediaType,
    digest: `sha256:${createHash('sha256').update(body).digest('hex')}`,
    size: Buffer.byteLength(body),
  };
}

describe('a registry that wants to know who asks', () => {
  test('gets a token, for the login that there is', async () => {
    const asked: string[] = [];
    const registry: string = await serve((request, response) => {
      asked.push(`${request.method} ${request.url} ${loginOf(request) ?? request.headers.authorization ?? '-'}`);
      if (request.url?.startsWith('/token')) response.end(JSON.stringify({ token: 't1' }));
      else if (request.headers.authorization === 'Bearer t1') response.setHeader('docker-content-digest', DIGEST).end();
      else
        response
          .writeHead(401, {
            'www-authenticate': `Bearer realm="http://${registry}/token",service="s",scope="repository:shop/web:pull"`,
          })
          .end();
    });
    const credentials = (host: string) => (host === registry ? { username: 'u', password: 'p:w' } : null);
    expect(await resolveDigest(`${registry}/shop/web`, 'abc', { credentials })).toBe(DIGEST);
    expect(asked).toEqual([
      'HEAD /v2/shop/web/manifests/abc -',
      'GET /token?service=s&scope=repository%3Ashop%2Fweb%3Apull u:p:w',
      'HEAD /v2/shop/web/manifests/abc Bearer t1',
    ]);
  });

  test('gets the login itself, when it asks for that', async () => {
    const registry = await serve((request, response) => {
      if (loginOf(request) === 'u:p') response.setHeader('docker-content-digest', DIGEST).end();
      else response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
    });
    expect(
      await resolveDigest(`${registry}/web`, 'abc', { credentials: () => ({ username: 'u', password: 'p' }) }),
    ).toBe(DIGEST);
    await expect(resolveDigest(`${registry}/web`, 'abc')).rejects.toMatchObject({
      kind: 'denied',
      message: `${registry} does not let us see ${registry}/web:abc (HTTP 401)`,
    });
  });

  test('does not get a password over an unencrypted line to elsewhere', async () => {
    const registry = await serve((_, response) => {
      response.writeHead(401, { 'www-authenticate': 'Bearer realm="http://other.example.com/token"' }).end();
    });
    await expect(
      resolveDigest(`${registry}/web`, 'abc', { credentials: () => ({ username: 'u', password: 'p' }) }),
    ).rejects.toMatchObject({
      kind: 'denied',
      message: `${registry} wants the login for ${registry}/web:abc sent unencrypted to other.example.com`,
    });
  });
});

test('a registry that leaves the digest out is asked for the manifest', async () => {
  const manifest = '{"schemaVersion":2}';
  const registry = await serve((request, response) => response.end(request.method === 'HEAD' ? '' : manifest));
  expect(await resolveDigest(`${registry}/web`, 'abc')).toBe(
    `sha256:${createHash('sha256').update(manifest).digest('hex')}`,
  );
});

describe('a registry that is unwell', () => {
  test('and answers so, or nonsense, or nothing', async () => {
    const broken = await serve((_, response) => response.writeHead(503).end());
    await expect(resolveDigest(`${broken}/web`, 'abc')).rejects.toMatchObject({
      kind: 'transient',
      message: `the registry ${broken} could not be asked: it answered 503`,
    });
    const endless = await serve((request, response) =>
      response.end(request.method === 'HEAD' ? '' : Buffer.alloc(5 * 2 ** 20)),
    );
    await expect(resolveDigest(`${endless}/web`, 'abc')).rejects.toMatchObject({
      kind: 'transient',
      message: `the registry ${endless} could not be asked: its answer is larger than any manifest`,
    });
    const silent = await serve(() => undefined);
    await expect(resolveDigest(`${silent}/web`, 'abc', { timeoutMs: 50 })).rejects.toMatchObject({ kind: 'transient' });
    const nobody = `127.0.0.1:${await freePort()}`;
    await expect(resolveDigest(`${nobody}/web`, 'abc')).rejects.toMatchObject({
      kind: 'transient',
      message: expect.stringContaining(`the registry ${nobody} could not be asked: `) as string,
    });
  });

  test('with a token that is none', async () => {
    const registry: string = await serve((request, response) => {
      if (request.url?.startsWith('/token')) response.end('<html>');
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${registry}/token"` }).end();
    });
    await expect(resolveDigest(`${registry}/web`, 'abc')).rejects.toMatchObject({ kind: 'denied' });
  });
});
