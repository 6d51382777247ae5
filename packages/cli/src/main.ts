#!/usr/bin/env node
import { fileURLToPath } from 'node:url';
import { flushCompileCache } from 'node:module';
import { run } from './run.ts';

// With NODE_COMPILE_CACHE: a process that runs for long, and may be killed, writes what it has loaded now, not when it ends.
setTimeout(flushCompileCache, 5000).unref();
// What was not awaited ends with the process: a command that is done is done, even while a connection is being closed.
const code = await run(process.argv.slice(2), fileURLToPath(import.meta.url));
// Pipes are written asynchronously; leaving before they are drained would cut off what was printed.
await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write('', done))));
process.exit(code);
