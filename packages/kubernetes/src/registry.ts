import { createHash } from 'node:crypto';
import { messageOf, SlipwayError } from '@slipway/app';
import { valueAt } from './json-value.ts';

/**
 * Asks a registry which digest a tag has, by the OCI distribution specification (a HEAD of the manifest) and the token authentication that
 * registries use with it.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
 * https://distribution.github.io/distribution/spec/auth/token/
 */

export interface RegistryOptions {
  /** What to log in with; null: nothing. */
  credentials?: (registry: string) => { username: string; password: string } | null;
  fetch?: typeof fetch;
  timeoutMs?: number;
}

const DOCKER_HUB = 'registry-1.docker.io';
const MANIFESTS = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');
/** The specification's recommended limit of a manifest. */
const MAX_MANIFEST_BYTES = 4 * 2 ** 20;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** A registry's host, and what is below it. `shop/web` and `node` are on Docker Hub. */
export function placeOf(image: string): { registry: string; repository: string } {
  const [first = '', ...rest] = image.split('/');
  const isHost = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  if (isHost && first !== 'docker.io') return { registry: first, repository: rest.join('/') };
  const repository = first === 'docker.io' ? rest.join('/') : image;
  return { registry: DOCKER_HUB, repository: repository.includes('/') ? repository : `library/${repository}` };
}

/**
 * @param image Without tag and digest.
 * @returns `sha256:...` of the image, or of the index of an image for several platforms.
 * @throws {SlipwayError} `mistake` when there is no such image, `denied` when the registry does not let us see it, `transient` when it does not answer.
 */
export async function resolveDigest(image: string, tag: string, options: RegistryOptions = {}): Promise<string> {
  const { registry, repository } = placeOf(image);
  const url = `${schemeOf(registry)}://${registry}/v2/${repository}/manifests/${encodeURIComponent(tag)}`;
  const about = `${image}:${tag}`;
  const headers = { accept: MANIFESTS };
  let authorization = await authorize(null, { registry, repository, about, options });
  let response = await ask(url, { method: 'HEAD', headers }, registry, options);
  if (response.status === 401) {
    authorization = await authorize(response.headers.get('www-authenticate'), { registry, repository, about, options });
    if (authorization !== null)
      response = await ask(url, { method: 'HEAD', headers: { ...headers, authorization } }, registry, options);
  }
  if (response.status === 404)
    throw new SlipwayError('mistake', `there is no image ${about}`, {
      hint: 'Push the image of this commit first; or pin one in slipway.yaml, NAME@sha256:DIGEST; or leave tags as they are with --no-resolve.',
    });
  if (response.status === 401 || response.status === 403)
    throw new SlipwayError('denied', `${registry} does not let us see ${about} (HTTP ${response.status})`, {
      hint: `Log in: docker login ${registry}. A registry may also answer so for an image that does not exist.`,
    });
  if (!response.ok) throw unavailable(registry, `it answered ${response.status}`);
  const digest = response.headers.get('docker-content-digest');
  if (digest !== null && DIGEST.test(digest)) return digest;
  // The header is optional: then the digest is that of the bytes.
  const whole = await ask(
    url,
    { headers: authorization === null ? headers : { ...headers, authorization } },
    registry,
    options,
  );
  if (!whole.ok) throw unavailable(registry, `it answered ${whole.status}`);
  return `sha256:${createHash('sha256')
    .update(await readBounded(whole, registry))
    .digest('hex')}`;
}

interface Asked {
  registry: string;
  repository: string;
  about: string;
  options: RegistryOptions;
}

/** What to send along, for a challenge of the registry; null when there is nothing to send. */
async function authorize(
  challenge: string | null,
  { registry, repository, about, options }: Asked,
): Promise<string | null> {
  if (challenge === null) return null;
  const login = options.credentials?.(registry) ?? null;
  const basic = login && `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;
  const [, scheme = '', rest = ''] = /^(\w+)\s+(.*)$/.exec(challenge) ?? [];
  if (scheme.toLowerCase() === 'basic') return basic;
  const parameters = new Map([...rest.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]));
  const realm = URL.parse(parameters.get('realm') ?? '');
  if (scheme.toLowerCase() !== 'bearer' || realm === null) return null;
  // A password goes out encrypted, or not at all; a registry on this machine may do without.
  if (realm.protocol !== 'https:' && schemeOf(realm.host) !== 'http')
    throw new SlipwayError('denied', `${registry} wants the login for ${about} sent unencrypted to ${realm.host}`);
  const service = parameters.get('service');
  if (service !== undefined) realm.searchParams.set('service', service);
  realm.searchParams.set('scope', parameters.get('scope') ?? `repository:${repository}:pull`);
  const answer = await ask(realm.href, { headers: basic === null ? {} : { authorization: basic } }, registry, options);
  if (!answer.ok) return null;
  const token = tokenIn(new TextDecoder().decode(await readBounded(answer, registry)));
  return token === null ? null : `Bearer ${token}`;
}

function tokenIn(text: string): string | null {
  try {
    const body: unknown = JSON.parse(text);
    const token = valueAt(body, 'token') ?? valueAt(body, 'access_token');
    return typeof token === 'string' ? token : null;
  } catch {
    return null;
  }
}

async function ask(url: string, init: RequestInit, registry: string, options: RegistryOptions): Promise<Response> {
  try {
    return await (options.fetch ?? fetch)(url, { ...init, signal: AbortSignal.timeout(options.timeoutMs ?? 20_000) });
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    throw unavailable(registry, messageOf(cause), error);
  }
}

async function readBounded(response: Response, registry: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_MANIFEST_BYTES) throw unavailable(registry, 'its answer is larger than any manifest');
  }
  return Buffer.concat(chunks);
}

function unavailable(registry: string, why: string, cause?: unknown): SlipwayError {
  return new SlipwayError('transient', `the registry ${registry} could not be asked: ${why}`, {
    hint: 'Try again; or leave tags as they are with --no-resolve.',
    cause,
  });
}

/** As Docker does it: a registry on this machine needs no certificate. */
function schemeOf(host: string): 'http' | 'https' {
  return /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(host) ? 'http' : 'https';
}
