import { s3Server } from '@slipway/testing';
import { test } from 'vitest';
import { objectStoreConformance } from './conformance/index.ts';

const server = await s3Server('the tests of objects in S3');

if (server === null) {
  test.skip('object store: S3', () => undefined);
} else {
  objectStoreConformance('S3', async () => ({
    url: `s3://${server.bucket}/some/prefix?endpoint=${server.endpoint}&region=${server.region}`,
    variables: { AWS_ACCESS_KEY_ID: server.accessKeyId, AWS_SECRET_ACCESS_KEY: server.secretAccessKey },
    secrets: [server.accessKeyId, server.secretAccessKey],
    takeDown: async () => await server.kill(),
    bringUp: async () => await server.start(),
    dispose: async () => await server.stop(),
  }));
}
