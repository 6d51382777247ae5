import { temporaryFolder } from '@slipway/testing';
import { onTestFinished } from 'vitest';
import { folderStore } from '../objects/index.ts';
import { queuesUnderTest } from '../queue-under-test.ts';
import { serve } from './api-under-test.ts';

/** A started queue with an object store, and its tasks API in this process. Both end with the test. */
export async function servedQueue({ leaseSeconds = 2 }: { leaseSeconds?: number } = {}) {
  const folder = await temporaryFolder();
  const objects = folderStore(folder);
  const { pool, url: database, queue } = await queuesUnderTest({ leaseSeconds, objects });
  await queue.start();
  const { url, server } = await serve(queue, folder, 0);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { pool, database, folder, objects, queue, url };
}
