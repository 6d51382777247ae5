import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { cannotRun } from './chromium.ts';
import { removeFolder, temporaryFolder } from './folder.ts';
import { freePort } from './port.ts';
import { startProcess, type TestProcess } from './process.ts';
import { s3Program } from './s3-program.ts';
import { waitFor } from './wait-for.ts';

/** A real S3 server (Versity S3 Gateway) that keeps its objects in a folder. */
export interface S3Server {
  /** Stays the same over `kill` and `start`. */
  endpoint: string;
  region: string;
  /** Exists. */
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** Starts it again after `kill`, with what it had. Returns when it answers. Fine when it runs already. */
  start(): Promise<void>;
  /** Sends SIGKILL and waits until it is gone. */
  kill(): Promise<void>;
  /** Kills it and deletes what it had. Fine when done already. */
  stop(): Promise<void>;
}

/**
 * Starts an S3 server of the caller's own. Null when there is none on this machine and it can't be built; `npm test` then reports
 * that `what` was not run. Call it at the top of a test file: building takes a minute or two, once, and a hook has less time.
 *
 * @param what `the tests of objects in S3`.
 */
export async function s3Server(what: string): Promise<S3Server | null> {
  const program = await s3Program();
  if (program instanceof Error) {
    cannotRun(what, program.message);
    return null;
  }
  const folder = await temporaryFolder();
  const [bucket, region] = ['objects', 'eu-test-1'];
  const data = path.join(folder, 'data');
  const sidecar = path.join(folder, 'sidecar'); // for file systems without extended attributes
  await mkdir(path.join(data, bucket), { recursive: true });
  await mkdir(sidecar);
  const address = `127.0.0.1:${await freePort()}`;
  const endpoint = `http://${address}`;
  const credentials = { accessKeyId: 'TESTACCESSKEY', secretAccessKey: 'a-secret-that-no-message-may-show' };
  const options = ['--port', address, '--region', region, '--health', '/health', '--keep-alive', '--quiet'];
  let running: TestProcess | null = null;
  const kill = async () => {
    await running?.kill();
    running = null;
  };
  const start = async () => {
    if (running !== null) return;
    const server = startProcess(program, [...options, 'posix', '--sidecar', sidecar, data], {
      lives: 'until killed',
      env: { ROOT_ACCESS_KEY: credentials.accessKeyId, ROOT_SECRET_KEY: credentials.secretAccessKey },
    });
    running = server;
    await waitFor(async () => (await fetch(`${endpoint}/health`)).ok, {
      what: 'the S3 server to answer',
      seconds: 20,
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}\nIts output:\n${server.output()}`, { cause: error });
    });
  };
  await start();
  return {
    endpoint,
    region,
    bucket,
    ...credentials,
    start,
    kill,
    async stop() {
      await kill();
      await removeFolder(folder);
    },
  };
}
