import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { CannotMeasure, type Benchmark } from './measure.ts';

/**
 * `npm run bench -- NAME`: runs one benchmark. Progress goes to stderr; the last line of stdout is one JSON object,
 * `{"name", "figures", "peers", "machine"}`.
 *
 * Exit code 0; 1: the benchmark failed; 2: asked wrongly, or something it needs is not installed.
 */
const [name, ...rest] = process.argv.slice(2);
const file = path.join(import.meta.dirname, `${name ?? ''}.ts`);
const notBenchmarks = new Set(['run.ts', 'measure.ts']);

if (
  name === undefined ||
  !/^[a-z]+$/.test(name) ||
  rest.length > 0 ||
  notBenchmarks.has(`${name}.ts`) ||
  !existsSync(file)
) {
  const files = await readdir(import.meta.dirname);
  const names = files
    .filter((other) => /^[a-z]+\.ts$/.test(other) && !notBenchmarks.has(other))
    .map((other) => other.slice(0, -3));
  process.stderr.write(`usage: npm run bench -- NAME    with NAME one of: ${names.toSorted().join(', ')}\n`);
  process.exit(2);
}

const benchmark: { default: Benchmark } = await import(file);
try {
  const { figures, peers } = await benchmark.default();
  const machine = {
    cpus: os.availableParallelism(),
    memory: os.totalmem(),
    node: process.version,
    kernel: os.release(),
  };
  process.stdout.write(`${JSON.stringify({ name, figures, peers, machine })}\n`);
} catch (error) {
  if (!(error instanceof CannotMeasure)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
