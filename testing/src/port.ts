import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';

/** Below the range from which Linux takes the ports of outgoing connections, so that none of those gets it in the meantime. */
const [LOWEST, HIGHEST] = [15_000, 32_000];

/**
 * A TCP port on 127.0.0.1 that nobody listens on now; chance keeps tests that ask at the same time apart. Prefer port 0 where the
 * program under test can report its port.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = randomInt(LOWEST, HIGHEST);
    const server = net.createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch {
      continue;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
  throw new Error('no free port was found in 100 tries');
}
