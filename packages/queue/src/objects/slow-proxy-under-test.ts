import { once } from 'node:events';
import net from 'node:net';

/** Stands between a client and a server on loopback, and makes the connection as bad as a test wants it. */
export interface SlowProxy {
  endpoint: string;
  /** From now on, for open connections as well. Both directions together. */
  set(quality: Quality): void;
  /** Bytes that went through, both directions. */
  passed(): number;
  /** Ends every connection, in the middle of whatever it was. New ones may come. */
  sever(): void;
  stop(): Promise<void>;
}

export type Quality =
  | { kind: 'good' }
  | { kind: 'slow'; bytesPerSecond: number }
  /** After so many bytes from the server nothing moves any more, and nobody says so: a half-open connection. */
  | { kind: 'silent'; afterBytes: number }
  /** After so many bytes from the server the connection ends, in the middle of whatever it was. */
  | { kind: 'cut'; afterBytes: number };

export async function slowProxy(endpoint: string): Promise<SlowProxy> {
  const target = new URL(endpoint);
  const sockets = new Set<net.Socket>();
  let quality: Quality = { kind: 'good' };
  let passed = 0;
  let answered = 0;

  const forward = (from: net.Socket, to: net.Socket, direction: 'question' | 'answer') => {
    from.on('data', (chunk: Buffer) => {
      passed += chunk.length;
      let rest = chunk;
      if (direction === 'answer' && 'afterBytes' in quality) {
        rest = chunk.subarray(0, Math.max(0, quality.afterBytes - answered));
        answered += chunk.length;
      }
      if (rest.length > 0) to.write(rest);
      if (rest.length < chunk.length) {
        if (quality.kind === 'cut') to.destroy();
        else from.pause();
      } else if (quality.kind === 'slow') {
        from.pause();
        setTimeout(() => from.resume(), (chunk.length / quality.bytesPerSecond) * 1_000);
      }
    });
    from.on('end', () => to.end());
    from.on('error', () => to.destroy());
    from.on('close', () => {
      sockets.delete(from);
      to.destroy();
    });
    sockets.add(from);
  };
  const server = net.createServer((client) => {
    const upstream = net.connect(Number(target.port), target.hostname);
    forward(client, upstream, 'question');
    forward(upstream, client, 'answer');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('it listens on TCP');
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    set(wanted) {
      quality = wanted;
      answered = 0;
    },
    passed: () => passed,
    sever() {
      for (const socket of sockets) socket.destroy();
    },
    async stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
