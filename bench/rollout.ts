import { Agent } from 'node:http';
import { WebSocket } from 'ws';
import { progress, type Measured } from './measure.ts';
import { get, pause, RunningSlipway } from './slipway/running.ts';

/**
 * 50 rollouts in a row under keep-alive load, with WebSockets and slow requests in flight all the time. A request fails when it gets no answer or anything
 * but 200; a WebSocket fails when it is cut without a close frame, or when an echo gets lost before that.
 */
const ROLLOUTS = 50;
const CONNECTIONS = 24;
/** Between two rollouts, so that the slow requests of several releases are in flight beside each other for more than their own length. */
const PAUSE_MS = 500;
const SOCKETS = 10;
const SLOW = 5;
const SLOW_SECONDS = 20;

const web = `
const http = require('node:http');
const { createHash } = require('node:crypto');
const text = require('node:fs').readFileSync('text.txt', 'utf8').trim();
const sockets = new Set();
const server = http.createServer((request, response) => {
  if (request.url === '/slow') { setTimeout(() => response.end(text), ${SLOW_SECONDS * 1000}); return; }
  response.end(text);
});
// A WebSocket echo for frames shorter than 126 bytes, so that the app of the benchmark needs no packages.
server.on('upgrade', (request, socket) => {
  const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n');
  sockets.add(socket);
  socket.on('close', () => sockets.delete(socket));
  socket.on('error', () => sockets.delete(socket));
  let rest = Buffer.alloc(0);
  socket.on('data', (data) => {
    rest = Buffer.concat([rest, data]);
    while (rest.length >= 6 && rest.length >= 6 + (rest[1] & 0x7f)) {
      const length = rest[1] & 0x7f;
      const payload = Buffer.from(rest.subarray(6, 6 + length));
      for (let i = 0; i < length; i += 1) payload[i] ^= rest[2 + (i % 4)];
      const opcode = rest[0] & 0x0f;
      if (opcode === 1) socket.write(Buffer.concat([Buffer.from([0x81, length]), payload]));
      if (opcode === 8) { socket.end(Buffer.concat([Buffer.from([0x88, length]), payload])); }
      rest = rest.subarray(6 + length);
    }
  });
});
process.on('SIGTERM', () => {
  // 1012: service restart; the client connects again.
  for (const socket of sockets) socket.end(Buffer.from([0x88, 2, 0x03, 0xf4]));
  server.close(() => process.exit(0));
});
server.listen(process.env.PORT, '127.0.0.1');
`;
const yaml = `app: shop
services:
  web: { run: exec node web.js, health: /, size: { memory: 256Mi }, stop: 5s }
environments:
  staging: { branch: main }
`;
const host = 'staging.shop.localhost';

interface Tally {
  requests: number;
  slow: number;
  sockets: number;
  messages: number;
  failed: number;
}

export default async function rollout(): Promise<Measured> {
  const slipway = await RunningSlipway.start();
  const tally: Tally = { requests: 0, slow: 0, sockets: 0, messages: 0, failed: 0 };
  const stop = new AbortController();
  try {
    const repository = await slipway.repository('shop', {
      'slipway.yaml': yaml,
      'web.js': web,
      'text.txt': 'release 0',
    });
    await repository.push();
    await slipway.secondsUntil(host, (body) => body === 'release 0');
    const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS + SLOW });
    const load = [
      ...Array.from({ length: CONNECTIONS }, () => requests(slipway.routerPort, agent, tally, stop.signal)),
      ...Array.from({ length: SLOW }, (_, index) => slowRequests(slipway.routerPort, agent, tally, stop.signal, index)),
      ...Array.from({ length: SOCKETS }, () => echoes(slipway.routerPort, tally, stop.signal)),
    ];
    for (let number = 1; number <= ROLLOUTS; number += 1) {
      await repository.commit({ 'text.txt': `release ${number}` }, `Rollout ${number}`);
      await repository.push();
      await slipway.secondsUntil(host, (body) => body === `release ${number}`);
      await pause(PAUSE_MS);
      if (number % 10 === 0) progress(`${number} rollouts: ${JSON.stringify(tally)}`);
    }
    stop.abort();
    await Promise.all(load);
    agent.destroy();
    return {
      figures: {
        rollouts: ROLLOUTS,
        requests: tally.requests + tally.slow,
        failed: tally.failed,
        slow_requests: tally.slow,
        websockets: tally.sockets,
        websocket_messages: tally.messages,
      },
      peers: {},
    };
  } finally {
    stop.abort();
    await slipway.stop();
  }
}

async function requests(port: number, agent: Agent, tally: Tally, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await one(port, agent, '/', tally);
    tally.requests += 1;
    await pause(5);
  }
}

/** Begun at different times, so that some are in flight at every moment of every rollout. */
async function slowRequests(
  port: number,
  agent: Agent,
  tally: Tally,
  signal: AbortSignal,
  index: number,
): Promise<void> {
  await pause((index * SLOW_SECONDS * 1000) / SLOW);
  while (!signal.aborted) {
    await one(port, agent, '/slow', tally);
    tally.slow += 1;
  }
}

async function one(port: number, agent: Agent, requestPath: string, tally: Tally): Promise<void> {
  const answer = await get(port, host, requestPath, agent).catch((error: unknown) => ({
    status: 0,
    body: String(error),
  }));
  if (answer.status === 200) return;
  tally.failed += 1;
  progress(`failed: ${requestPath} ${answer.status} ${answer.body.slice(0, 200)}`);
}

async function echoes(port: number, tally: Tally, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const code = await echo(port, tally, signal);
    tally.sockets += 1;
    if (code === 1000 || code === 1012) continue;
    tally.failed += 1;
    progress(`failed: a WebSocket was closed with ${code}`);
  }
}

/** Sends and expects one message at a time until the server closes the connection, or the load ends. @returns the close code. */
async function echo(port: number, tally: Tally, signal: AbortSignal): Promise<number> {
  return await new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { host } });
    let sent = 0;
    const next = (): void => {
      if (signal.aborted) socket.close(1000);
      else if (socket.readyState === socket.OPEN) socket.send(String((sent += 1)));
    };
    socket.on('open', next);
    socket.on('message', (data) => {
      if ((data as Buffer).toString() !== String(sent)) tally.failed += 1;
      tally.messages += 1;
      setTimeout(next, 50);
    });
    socket.on('error', (error) => progress(`WebSocket: ${error.message}`));
    socket.on('close', resolve);
  });
}
