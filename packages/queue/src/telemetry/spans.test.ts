import { context, type Context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { testDatabase, waitFor } from '@slipway/testing';
import { AsyncLocalStorage } from 'node:async_hooks';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { Discard, Queue, Snooze, taskKind, TimedOut, z } from '../index.ts';

const kind = taskKind({
  name: 'thumbnail',
  payload: z.string(),
  retries: 1,
  backoff: () => 0,
  fallback: 'bigger',
});

const exporter = new InMemorySpanExporter();

/** As a program does it that exports its spans. */
beforeAll(() => {
  trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }));
  const active = new AsyncLocalStorage<Context>();
  context.setGlobalContextManager({
    active: () => active.getStore() ?? ROOT_CONTEXT,
    with: (at, run, self, ...args) => active.run(at, () => run.call(self as never, ...args)),
    bind: (_, target) => target,
    enable() {
      return this;
    },
    disable() {
      return this;
    },
  });
});

test('an attempt is a child of the span that enqueued its task, and the parent of what its handler does', async () => {
  const { queue, spans } = await tracedQueue();
  queue.work(kind, async () => trace.getTracer('app').startSpan('resize').end());
  await queue.start();
  const id = await trace
    .getTracer('app')
    .startActiveSpan('request', (request) => queue.enqueue(kind, 'cat.png').finally(() => request.end()));

  const { send, process, request, resize } = await named(spans, ['send', 'process', 'request', 'resize']);
  expect(parentOf(send)).toBe(request.spanContext().spanId);
  expect(parentOf(process)).toBe(send.spanContext().spanId);
  expect(parentOf(resize)).toBe(process.spanContext().spanId);
  expect(new Set([send, process, request, resize].map((span) => span.spanContext().traceId)).size).toBe(1);

  expect(send).toMatchObject({ name: 'send thumbnail', kind: SpanKind.PRODUCER });
  expect(send.attributes).toEqual({
    'messaging.system': 'slipway',
    'messaging.operation.type': 'send',
    'messaging.operation.name': 'send',
    'messaging.destination.name': 'thumbnail',
  });
  expect(process).toMatchObject({ name: 'process thumbnail', kind: SpanKind.CONSUMER });
  expect(process.status.code).toBe(SpanStatusCode.UNSET);
  expect(process.attributes).toEqual({
    'messaging.system': 'slipway',
    'messaging.operation.type': 'process',
    'messaging.operation.name': 'process',
    'messaging.destination.name': 'thumbnail',
    'messaging.message.id': id,
    'slipway.lane': 'normal',
    'slipway.attempt': 1,
    'slipway.waited_seconds': expect.any(Number),
    'slipway.outcome': 'done',
  });
});

test('tasks that are added together share one span, which counts them', async () => {
  const { queue, spans } = await tracedQueue();
  await queue.enqueueMany(kind, [{ payload: 'a' }, { payload: 'b', unique: 'b' }, { payload: 'c', lane: 'fallback' }]);
  const { send } = await named(spans, ['send']);
  expect(spans()).toHaveLength(1);
  expect(send.attributes['messaging.batch.message_count']).toBe(3);
});

test.for([
  { fails: 'once', error: new TypeError('no such image'), outcome: 'again', type: 'error' },
  { fails: 'out of time', error: new TimedOut('20 s'), outcome: 'escalated', type: 'timeout' },
  { fails: 'for good', error: new Discard('not an image'), outcome: 'dead', type: 'discarded' },
])('an attempt that fails $fails says why', async ({ error, outcome, type }) => {
  const { queue, spans } = await tracedQueue();
  queue.work(kind, async (_, { number }) => {
    if (number === 1) throw error;
  });
  await queue.start();
  await queue.enqueue(kind, 'cat.png');
  const { process } = await named(spans, ['process']);
  expect(process.status).toEqual({ code: SpanStatusCode.ERROR, message: error.message });
  expect(process.attributes).toMatchObject({ 'slipway.outcome': outcome, 'error.type': type });
  expect(process.events).toMatchObject([{ name: 'exception', attributes: { 'exception.message': error.message } }]);
});

test('an attempt that is put off is no error', async () => {
  const { queue, spans } = await tracedQueue();
  queue.work(kind, async () => Promise.reject(new Snooze(60)));
  await queue.start();
  await queue.enqueue(kind, 'cat.png');
  const { process } = await named(spans, ['process']);
  expect(process.status.code).toBe(SpanStatusCode.UNSET);
  expect(process.attributes).toMatchObject({ 'slipway.outcome': 'snoozed' });
});

test('a payload that is refused, and a table that is gone, end the span of the caller', async () => {
  const { queue, spans, pool } = await tracedQueue();
  await pool.query('drop schema slipway_queue cascade');
  await expect(queue.enqueue(kind, 'cat.png')).rejects.toThrow(/slipway_queue/);
  const { send } = await named(spans, ['send']);
  expect(send.status.code).toBe(SpanStatusCode.ERROR);
});

async function tracedQueue() {
  const { pool } = await testDatabase();
  const queue = new Queue({ pool });
  await queue.migrate();
  onTestFinished(() => queue.stop());
  exporter.reset();
  return { queue, pool, spans: () => exporter.getFinishedSpans() };
}

/** The first span of each name (its first word), when all have ended. */
async function named<N extends string>(spans: () => ReadableSpan[], names: N[]): Promise<Record<N, ReadableSpan>> {
  const find = (name: string) => spans().find((span) => span.name.split(' ')[0] === name);
  await waitFor(() => names.every(find), { what: `spans ${names.join(', ')}` });
  return Object.fromEntries(names.map((name) => [name, find(name)])) as Record<N, ReadableSpan>;
}

function parentOf(span: ReadableSpan): string | undefined {
  return span.parentSpanContext?.spanId;
}
