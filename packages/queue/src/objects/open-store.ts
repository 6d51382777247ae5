import { fileURLToPath } from 'node:url';
import { folderStore } from './folder-store.ts';
import { ObjectRefused } from './object-errors.ts';
import { assertKey } from './object-key.ts';
import type { ObjectStore } from './object-store.ts';
import type { S3Credentials } from './s3-client.ts';
import { s3Store } from './s3-store.ts';

const EXPECTED = 'Expected file:///path/of/a/folder, or s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION';

/**
 * Opens the store that a URL names: `file:///var/lib/app/objects`, or `s3://bucket/prefix?endpoint=http://minio:9000&region=eu-1`
 * (without `endpoint`, Amazon's for the region; without `region`, AWS_REGION, else us-east-1). Credentials of S3 are
 * AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN if they are temporary, never a part of the URL, which is shown in messages and process lists.
 *
 * @param variables Where the credentials are; this process's variables by default.
 * @throws {ObjectRefused} when the URL or the credentials can't be used; says what was expected, and shows no secret.
 * @throws {ObjectStoreDown} when the folder can't be made.
 */
export function openStore(url: string, variables: Record<string, string | undefined> = process.env): ObjectStore {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed?.protocol === 'file:') return openFolder(parsed);
  if (parsed?.protocol === 's3:') return openBucket(parsed, variables);
  throw new ObjectRefused(
    parsed === null
      ? `The URL of the object store is not a URL. ${EXPECTED}.`
      : `The URL of the object store begins with ${parsed.protocol}, which is not known. ${EXPECTED}.`,
  );
}

function openFolder(url: URL): ObjectStore {
  let folder: string;
  try {
    folder = fileURLToPath(url);
  } catch {
    throw new ObjectRefused(
      `The URL of the object store names no folder of this computer. ${EXPECTED} (three slashes: there is no host).`,
    );
  }
  if (folder === '/')
    throw new ObjectRefused(`The URL of the object store names the root of all folders. ${EXPECTED}.`);
  if (url.search !== '')
    throw new ObjectRefused('The URL of the object store: file:// takes no parameters (after the ?).');
  return folderStore(folder);
}

function openBucket(url: URL, variables: Record<string, string | undefined>): ObjectStore {
  if (url.username !== '' || url.password !== '') {
    throw new ObjectRefused(
      'The URL of the object store has credentials in it. Put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, out of sight.',
    );
  }
  const stranger = [...url.searchParams.keys()].find((name) => !['endpoint', 'region'].includes(name));
  if (stranger !== undefined) {
    throw new ObjectRefused(
      `The URL of the object store has a parameter ${JSON.stringify(stranger)}; there are only endpoint and region. Credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.`,
    );
  }
  const bucket = url.host;
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) {
    throw new ObjectRefused(
      `The URL of the object store names the bucket ${JSON.stringify(bucket)}; a bucket has 3 to 63 of a-z, 0-9, . and -. ${EXPECTED}.`,
    );
  }
  const prefix = decode(url.pathname).replace(/^\/|\/$/g, '');
  if (prefix !== '') assertKey(prefix);
  const region = url.searchParams.get('region') ?? variables['AWS_REGION'] ?? 'us-east-1';
  if (!/^[a-z0-9-]+$/.test(region)) {
    throw new ObjectRefused(
      `The URL of the object store names the region ${JSON.stringify(region)}; expected one like eu-central-1.`,
    );
  }
  const endpoint = endpointOf(url.searchParams.get('endpoint') ?? `https://s3.${region}.amazonaws.com`);
  return s3Store({ endpoint, bucket, region, prefix, ...credentialsOf(variables) });
}

function decode(pathname: string): string {
  try {
    return decodeURIComponent(pathname);
  } catch {
    throw new ObjectRefused(
      'The URL of the object store has a % in its prefix that is not followed by two hexadecimal digits.',
    );
  }
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol) || url.search !== '' || url.hash !== '') {
    throw new ObjectRefused(
      'The URL of the object store has an endpoint that is not of the form https://HOST or http://HOST:PORT.',
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw new ObjectRefused(
      'The URL of the object store has credentials in its endpoint. Use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.',
    );
  }
  return url.href;
}

function credentialsOf(variables: Record<string, string | undefined>): S3Credentials {
  const { AWS_ACCESS_KEY_ID: accessKeyId = '', AWS_SECRET_ACCESS_KEY: secretAccessKey = '' } = variables;
  const missing = Object.entries({ AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey })
    .filter(([, value]) => value === '')
    .map(([name]) => name);
  if (missing.length > 0)
    throw new ObjectRefused(`The object store is in S3, and ${missing.join(' and ')} is not set.`);
  const sessionToken = variables['AWS_SESSION_TOKEN'] ?? '';
  return { accessKeyId, secretAccessKey, ...(sessionToken !== '' && { sessionToken }) };
}
