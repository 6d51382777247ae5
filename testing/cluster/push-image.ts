import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import http from 'node:http';
import { makeImageParts, type ImageOptions } from './image.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

export interface PushedImage {
  /** With its registry, without tag: `127.0.0.1:5000/shop/web`. */
  name: string;
  tag: string;
  /** Of its manifest. */
  digest: string;
}

/**
 * Builds an image and gives it to a registry, as `docker push` does.
 *
 * @param options Its `name` is without the registry: `shop/web:1`.
 * @param folder For what it is made of; must exist.
 */
export async function pushImage(options: ImageOptions, registry: string, folder: string): Promise<PushedImage> {
  const [repository = '', tag = 'latest'] = options.name.split(':');
  const base = `http://${registry}/v2/${repository}`;
  const { layer, layerDigest, config } = await makeImageParts(options, folder);
  const layerSize = (await stat(layer)).size;
  const configDigest = digestOf(config);
  await upload(base, layerDigest, layerSize, () => createReadStream(layer));
  await upload(base, configDigest, Buffer.byteLength(config), () => config);
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: configDigest,
      size: Buffer.byteLength(config),
    },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: layerDigest, size: layerSize }],
  });
  const headers = { 'content-type': MANIFEST };
  await expectOk(await fetch(`${base}/manifests/${tag}`, { method: 'PUT', headers, body: manifest }), 'the manifest');
  return { name: `${registry}/${repository}`, tag, digest: digestOf(manifest) };
}

async function upload(base: string, digest: string, size: number, read: () => string | NodeJS.ReadableStream) {
  if ((await fetch(`${base}/blobs/${digest}`, { method: 'HEAD' })).ok) return;
  const begun = await fetch(`${base}/blobs/uploads/`, { method: 'POST' });
  await expectOk(begun, 'the beginning of an upload');
  const place = new URL(begun.headers.get('location') ?? '', base);
  place.searchParams.set('digest', digest);
  await put(place, size, read());
}

/** A registry takes a blob in one piece only when it is told its length, which `fetch` does not do for streams. */
function put(place: URL, size: number, body: string | NodeJS.ReadableStream): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/octet-stream', 'content-length': size };
    const request = http.request(place, { method: 'PUT', headers }, (response) => {
      response.resume();
      if (response.statusCode === 201) resolve();
      else reject(new Error(`the registry answered ${response.statusCode} to a part of an image`));
    });
    request.on('error', reject);
    if (typeof body === 'string') request.end(body);
    else body.on('error', reject).pipe(request);
  });
}

async function expectOk(response: Response, what: string): Promise<void> {
  if (!response.ok) throw new Error(`the registry answered ${response.status} to ${what}: ${await response.text()}`);
}

function digestOf(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}
