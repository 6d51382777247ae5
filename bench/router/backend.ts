import { createServer } from 'node:http';

/** The backend of the router benchmark: answers 1 KiB. */
const body = Buffer.alloc(1024, 'x');
createServer((_request, response) => {
  response.writeHead(200, { 'content-type': 'text/plain', 'content-length': body.length });
  response.end(body);
}).listen(Number(process.argv[2]), '127.0.0.1');
