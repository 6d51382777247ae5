import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from '@slipway/testing';
import { choosePort, type PortWish } from './ports.ts';

const host = '127.0.0.1';

test('a port asked for that is taken is an error that names who has it', async () => {
  const taken = await listen();
  await expect(choosePort(host, wish({ asked: taken }), [], fail)).rejects.toMatchObject({
    kind: 'conflict',
    message: expect.stringMatching(
      new RegExp(`^port ${taken} for the router is taken by .+ \\(process ${process.pid}\\)$`),
    ),
    hint: 'Stop that, or choose another port: slipway up --router-port PORT',
  });
});

test('without being asked the next free port is used, and said', async () => {
  const taken = await listen();
  const notes: string[] = [];
  const port = await choosePort(host, wish({ usual: taken }), [taken + 1], (text) => notes.push(text));
  expect(port).toBeGreaterThan(taken + 1);
  expect(notes).toEqual([expect.stringContaining(`using ${port} from now on (choose one: --router-port PORT).`)]);
});

test('the port used before is used again', async () => {
  const remembered = await freePort();
  expect(await choosePort(host, wish({ remembered }), [], fail)).toBe(remembered);
});

function wish(part: Partial<PortWish>): PortWish {
  return { purpose: 'router', option: '--router-port', asked: null, remembered: null, usual: 7380, ...part };
}

async function listen(): Promise<number> {
  const port = await freePort();
  const server = createServer().listen(port, host);
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  return port;
}

function fail(text: string): never {
  throw new Error(`nobody wants to hear: ${text}`);
}
