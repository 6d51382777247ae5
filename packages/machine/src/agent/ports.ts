import { createServer } from 'node:net';

/**
 * A TCP port of 127.0.0.1 that nobody listens on, found by listening on it for a moment. Somebody may take it before the app
 * does; then the app ends with EADDRINUSE, or {@link listenerOf} says `foreign`, and the next start gets another port.
 */
export async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        if (address !== null && typeof address === 'object') resolve(address.port);
        else reject(new Error('a listening socket has no address'));
      });
    });
  });
}
