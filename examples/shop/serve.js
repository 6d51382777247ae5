import { createServer } from 'node:http';

/**
 * Listens on PORT and stops as a service should: on SIGTERM it takes no new connections, finishes the requests it has, and
 * exits. A request that fails answers 500 and is logged.
 *
 * @param {string} name Shown in the log.
 * @param {(request: import('node:http').IncomingMessage, response: import('node:http').ServerResponse) => Promise<void>} handle
 */
export function serve(name, handle) {
  const server = createServer((request, response) => {
    if (request.url === '/healthz') {
      response.end('ok\n');
      return;
    }
    const started = Date.now();
    response.once('finish', () => {
      // A connection that would now wait for its next request must not keep a stopping service from its end.
      if (!server.listening) setImmediate(() => server.closeIdleConnections());
      if (process.env.LOG_LEVEL !== 'debug') return;
      console.log(`${name}: ${request.method} ${request.url} ${response.statusCode} ${Date.now() - started}ms`);
    });
    handle(request, response).catch((error) => {
      console.error(`${name}: ${request.method} ${request.url} failed: ${error.message}`);
      if (!response.headersSent) response.writeHead(error.status ?? 500, { 'Content-Type': 'text/plain' });
      response.end('Something went wrong. Try again in a moment.\n');
    });
  });
  server.once('error', (error) => {
    console.error(`${name}: can't listen: ${error.message}`);
    process.exit(1);
  });
  const { PORT = '3000', HOST = '127.0.0.1' } = process.env;
  server.listen(Number(PORT), HOST, () => console.log(`${name}: listens on ${HOST}:${server.address().port}`));
  process.once('SIGTERM', () => {
    console.log(`${name}: finishes its requests`);
    server.close(() => process.exit(0));
  });
  return server;
}
