import { access } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { temporaryFolder } from '@slipway/testing';
import { expect, test } from 'vitest';
import { ObjectRefused, ObjectStoreDown, openStore } from './index.ts';

const keys = { AWS_ACCESS_KEY_ID: 'AKIAEXAMPLE', AWS_SECRET_ACCESS_KEY: 'hush-hush' };

test.for([
  ['objects', {}, /is not a URL/],
  ['https://example.com/bucket', keys, /begins with https:/],
  ['file://host/objects', {}, /names no folder of this computer/],
  ['file:///', {}, /the root of all folders/],
  ['file:///tmp/x?region=eu', {}, /takes no parameters/],
  ['s3://bucket', {}, /AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is not set/],
  ['s3://bucket', { AWS_ACCESS_KEY_ID: 'AKIAEXAMPLE' }, /AWS_SECRET_ACCESS_KEY is not set/],
  ['s3://Bad_Bucket/', keys, /names the bucket/],
  ['s3://bucket/a//b', keys, /must not begin or end with \//],
  ['s3://bucket/%zz', keys, /% in its prefix/],
  ['s3://bucket?region=EU 1', keys, /names the region "EU 1"/],
  ['s3://bucket?endpoint=minio:9000', keys, /endpoint that is not of the form/],
  ['s3://bucket?endpoint=http://minio:9000/?a=b', keys, /endpoint that is not of the form/],
  ['s3://bucket?endpoint=http://u:hush-hush@minio:9000', keys, /credentials in its endpoint/],
  ['s3://AKIA:hush-hush@bucket', keys, /has credentials in it/],
  ['s3://bucket?secretAccessKey=hush-hush', keys, /parameter "secretAccessKey"/],
] as const)('the URL %s with %j is refused, without showing a secret', ([url, variables, expected]) => {
  const refuse = () => openStore(url, variables);
  expect(refuse).toThrow(ObjectRefused);
  expect(refuse).toThrow(expected);
  expect(refuse).not.toThrow(/hush/);
});

test('a store in S3 is opened without asking anything, and shows no secret when it is printed', () => {
  const store = openStore('s3://bucket/some/prefix?region=eu-central-1', { ...keys, AWS_SESSION_TOKEN: 'hush-token' });
  expect(inspect(store, { depth: 10, showHidden: true })).not.toMatch(/hush|AKIA/);
});

test('a folder is made when it is missing; one that can not be made says so', async () => {
  const folder = path.join(await temporaryFolder(), 'new/objects');
  openStore(pathToFileURL(folder).href);
  await access(folder);
  expect(() => openStore('file:///dev/null/objects')).toThrow(ObjectStoreDown);
});
