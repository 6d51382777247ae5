import {
  context,
  INVALID_TRACEID,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
} from '@opentelemetry/api';
import type { Outcome } from '../outcome.ts';
import type { Settled } from '../finisher.ts';
import type { Claimed } from '../statements/claimed.ts';

/**
 * Spans by OpenTelemetry's semantic conventions for messaging. Without an SDK in the program they are the API's no-ops: nothing is
 * collected, and an attempt gets some hundred nanoseconds longer.
 *
 * | span | kind | from | to | parent |
 * | --- | --- | --- | --- | --- |
 * | `send KIND` | producer | enqueue is called | the tasks are written | what is active |
 * | `process KIND` | consumer | an attempt begins | its end is written | the `send` of its task, in whatever process and however long ago |
 *
 * Each attempt of a task is a span of its own, so that a trace shows what ran twice.
 */
const tracer = trace.getTracer('@slipway/queue');
const system = 'slipway';

/**
 * Adds tasks within a span.
 *
 * @param add gets what is kept with each task: the span's W3C traceparent, null when nobody collects.
 */
export async function sendSpan<T>(kind: string, count: number, add: (trace: string | null) => Promise<T>): Promise<T> {
  const span = tracer.startSpan(`send ${kind}`, { kind: SpanKind.PRODUCER });
  if (span.isRecording()) {
    span.setAttributes({
      'messaging.system': system,
      'messaging.operation.type': 'send',
      'messaging.operation.name': 'send',
      'messaging.destination.name': kind,
      ...(count !== 1 && { 'messaging.batch.message_count': count }),
    });
  }
  try {
    return await add(traceparent(span.spanContext()));
  } catch (error) {
    fail(span, error, error instanceof Error ? error.name : 'error');
    throw error;
  } finally {
    span.end();
  }
}

/** Begins the span of an attempt. Null: nobody collects, and there is no trace to hand on. */
export function beginSpan({ kind, id, trace: sentBy, lane, attempts, waitedSeconds }: Claimed): AttemptSpan | null {
  const parent = sentBy === null ? null : fromTraceparent(sentBy);
  const around = context.active();
  const span = tracer.startSpan(
    `process ${kind}`,
    { kind: SpanKind.CONSUMER, root: parent === null },
    parent === null ? around : trace.setSpanContext(around, parent),
  );
  if (span.isRecording()) {
    span.setAttributes({
      'messaging.system': system,
      'messaging.operation.type': 'process',
      'messaging.operation.name': 'process',
      'messaging.destination.name': kind,
      'messaging.message.id': id,
      'slipway.lane': lane,
      'slipway.attempt': attempts,
      'slipway.waited_seconds': waitedSeconds,
    });
  }
  return span.spanContext().traceId === INVALID_TRACEID ? null : new AttemptSpan(span);
}

/** One attempt of a task. */
export class AttemptSpan {
  readonly #span: Span;
  #error: unknown = undefined;

  constructor(span: Span) {
    this.#span = span;
  }

  /** Runs a handler so that its own spans become children. */
  around<T>(handler: () => T): T {
    return context.with(trace.setSpan(context.active(), this.#span), handler);
  }

  threw(error: unknown): void {
    this.#error = error;
  }

  /** `slipway.outcome` is what becomes of the task, `error.type` why the attempt failed. */
  end(outcome: Outcome, verdict: Settled['verdict']): void {
    const span = this.#span;
    if (span.isRecording()) {
      span.setAttribute('slipway.outcome', verdict === 'done' ? outcome.kind : verdict);
      if ('cause' in outcome) fail(span, this.#error ?? outcome.error, outcome.cause);
    }
    span.end();
  }
}

function fail(span: Span, error: unknown, type: string): void {
  const exception = error instanceof Error ? error : new Error(String(error));
  span.recordException(exception);
  span.setAttribute('error.type', type);
  span.setStatus({ code: SpanStatusCode.ERROR, message: exception.message });
}

/** https://www.w3.org/TR/trace-context/#traceparent-header. Null for the context of a span that nobody collects. */
function traceparent({ traceId, spanId, traceFlags }: SpanContext): string | null {
  if (!trace.isSpanContextValid({ traceId, spanId, traceFlags })) return null;
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}

function fromTraceparent(text: string): SpanContext | null {
  const [, traceId = '', spanId = '', flags = ''] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(text) ?? [];
  if (traceId === '') return null;
  const sampled = Number.parseInt(flags, 16) & TraceFlags.SAMPLED;
  return { traceId, spanId, traceFlags: sampled, isRemote: true };
}
