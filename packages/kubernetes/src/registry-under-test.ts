import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { accessSync, constants } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { cannotRun, freePort, startProcess, temporaryFolder, waitFor } from '@slipway/testing';

/** Listens until the end of the test; answers with its host and port. */
export async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return `127.0.0.1:${port}`;
}

/** What a request says of who asks. */
export function loginOf({ headers }: IncomingMessage): string | null {
  const [, basic] = /^Basic (.*)$/.exec(headers.authorization ?? '') ?? [];
  return basic === undefined ? null : Buffer.from(basic, 'base64').toString();
}

const program = (process.env['PATH'] ?? '')
  .split(path.delimiter)
  .map((folder) => path.join(folder, 'docker-registry'))
  .find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

/** Whether Docker's registry is there; `npm test` reports what is not run without it. */
export function hasRegistry(what: string): boolean {
  if (program === undefined)
    cannotRun(what, 'no docker-registry was found; install it, e.g. apt-get install docker-registry');
  return program !== undefined;
}

/** Docker's own registry (CNCF Distribution), empty, until the end of the test; answers with its host and port. */
export async function startRegistry(): Promise<string> {
  const folder = await temporaryFolder();
  const address = `127.0.0.1:${await freePort()}`;
  const config = path.join(folder, 'config.yml');
  await mkdir(path.join(folder, 'data'));
  await writeFile(
    config,
    JSON.stringify({
      version: 0.1,
      storage: { filesystem: { rootdirectory: path.join(folder, 'data') } },
      http: { addr: address },
    }),
  );
  startProcess(program ?? 'docker-registry', ['serve', config]);
  await waitFor(async () => (await fetch(`http://${address}/v2/`)).ok, { what: 'the registry to answer' });
  return address;
}
