import { StringDecoder } from 'node:string_decoder';
import { SlipwayError } from '@slipway/app';
import type { LogLine, LogRequest } from '@slipway/engine';
import { ApiError } from '../api/api-error.ts';
import type { ApiClient } from '../api/client.ts';
import { objectPath } from '../api/resources.ts';
import type { ClusterView } from '../observe/cluster-view.ts';
import type { PodView } from '../observe/pod-view.ts';
import { Queue } from './queue.ts';
import { instanceId } from './status.ts';

/** Annotation of a job's pod: whose output it is. */
export const SOURCE_ANNOTATION = 'slipway.dev/source';
/** Annotation of a job's pod: its id. */
export const JOB_ANNOTATION = 'slipway.dev/job';
/** How often it is looked for pods that came while logs are followed. */
type Stream = LogLine['stream'];

/** A line as the API gives it. */
interface Stamped {
  /** With nanoseconds: as text it is the order of lines. */
  stamp: string;
  line: string;
  stream: Stream;
}

/**
 * Reads logs of pods. Whether lines come from stdout or stderr the API server tells only with the feature gate `PodLogsQuerySplitStreams`; without it
 * everything is `stdout`.
 */
export class LogReader {
  readonly #api: ApiClient;
  readonly #view: ClusterView;
  readonly #listeners = new Set<(namespace: string) => void>();
  #split: 'unknown' | 'yes' | 'no' = 'unknown';

  constructor(api: ApiClient, view: ClusterView) {
    this.#api = api;
    this.#view = view;
  }

  /** Something in a namespace changed: there may be another pod to follow. */
  touched(namespace: string): void {
    for (const listener of this.#listeners) listener(namespace);
  }

  /** Lines of an environment. Those of pods that are gone are gone with them. */
  async *read(namespace: string, request: LogRequest, signal: AbortSignal): AsyncGenerator<LogLine> {
    const matches = (pod: PodView): boolean => request.source === null || sourceOf(pod) === request.source;
    const past = await Promise.all(
      this.#view
        .pods(namespace)
        .filter(matches)
        .map(async (pod) => ({ pod, lines: await this.#past(pod, request.lines) })),
    );
    const all = past.flatMap(({ pod, lines }) => lines.map((one) => ({ pod, one })));
    all.sort((a, b) => (a.one.stamp < b.one.stamp ? -1 : a.one.stamp > b.one.stamp ? 1 : 0));
    for (const { pod, one } of request.lines === 0 ? [] : all.slice(-request.lines)) yield logLine(pod, one);
    if (request.follow)
      yield* this.#followAll(
        namespace,
        matches,
        new Map(past.map(({ pod, lines }) => [pod.uid, lines.at(-1)?.stamp ?? ''])),
        signal,
      );
  }

  /** Everything that one pod writes, from its beginning to its end. */
  async *whole(pod: PodView, signal: AbortSignal): AsyncGenerator<LogLine> {
    for await (const one of this.#follow(pod, '', signal)) yield logLine(pod, one);
  }

  async lastLines(pod: PodView, lines: number): Promise<string[]> {
    return (await this.#past(pod, lines)).map(({ line }) => line);
  }

  async *#followAll(
    namespace: string,
    matches: (pod: PodView) => boolean,
    seen: Map<string, string>,
    signal: AbortSignal,
  ): AsyncGenerator<LogLine> {
    const queue = new Queue<LogLine>();
    const followed = new Set<string>();
    const look = (where: string): void => {
      if (where !== namespace) return;
      for (const pod of this.#view.pods(namespace)) {
        if (!matches(pod) || followed.has(pod.uid) || !hasLogs(pod)) continue;
        followed.add(pod.uid);
        void this.#pass(pod, seen.get(pod.uid) ?? '', queue, signal);
      }
    };
    const end = (): void => queue.end();
    this.#listeners.add(look);
    signal.addEventListener('abort', end);
    try {
      if (signal.aborted) return;
      look(namespace);
      yield* queue.take();
    } finally {
      this.#listeners.delete(look);
      signal.removeEventListener('abort', end);
    }
  }

  async #pass(pod: PodView, after: string, queue: Queue<LogLine>, signal: AbortSignal): Promise<void> {
    try {
      for await (const one of this.#follow(pod, after, signal)) queue.push(logLine(pod, one));
    } catch (error) {
      if (!signal.aborted && !(error instanceof ApiError && error.status === 404)) queue.fail(error);
    }
  }

  async #past(pod: PodView, lines: number): Promise<Stamped[]> {
    if (!hasLogs(pod) || lines === 0) return [];
    try {
      const all = stamped(await this.#api.text(logPath(pod, { tailLines: `${lines}` })), 'stdout');
      const [first] = all;
      if (first === undefined || (await this.#splits(pod)) === 'no') return all;
      // The API takes no number of lines together with a stream, so those of stderr are found among all.
      const errors = await this.#api.text(logPath(pod, { stream: 'Stderr', sinceTime: first.stamp }));
      const stamps = new Set(stamped(errors, 'stderr').map(({ stamp }) => stamp));
      return all.map((one) => (stamps.has(one.stamp) ? { ...one, stream: 'stderr' } : one));
    } catch (error) {
      if (error instanceof ApiError && (error.status === 404 || error.status === 400)) return [];
      throw error;
    }
  }

  /** @param after Lines up to this one are left out. */
  async *#follow(pod: PodView, after: string, signal: AbortSignal): AsyncGenerator<Stamped> {
    const streams: (Stream | 'all')[] = (await this.#splits(pod)) === 'yes' ? ['stdout', 'stderr'] : ['all'];
    const since = after === '' ? {} : { sinceTime: after };
    const queue = new Queue<Stamped>();
    let open = streams.length;
    const abort = new AbortController();
    const cut = (): void => abort.abort();
    signal.addEventListener('abort', cut);
    try {
      for (const stream of streams) {
        const which = stream === 'all' ? {} : { stream: stream === 'stdout' ? 'Stdout' : 'Stderr' };
        void this.#lines(logPath(pod, { follow: 'true', ...since, ...which }), stream, abort.signal, (one) => {
          if (one.stamp > after) queue.push(one);
        }).then(
          () => ((open -= 1) === 0 ? queue.end() : undefined),
          (error: unknown) => (abort.signal.aborted ? queue.end() : queue.fail(error)),
        );
      }
      yield* queue.take();
    } finally {
      signal.removeEventListener('abort', cut);
      abort.abort();
    }
  }

  async #lines(path: string, stream: Stream | 'all', signal: AbortSignal, take: (one: Stamped) => void): Promise<void> {
    const body = await this.#api.stream(path, { signal, accept: '*/*', on: 'own' });
    const decoder = new StringDecoder('utf8');
    let rest = '';
    const pass = (text: string): void => {
      for (const one of stamped(text, stream === 'stderr' ? 'stderr' : 'stdout')) take(one);
    };
    for await (const chunk of body as AsyncIterable<Buffer>) {
      const text = rest + decoder.write(chunk);
      const end = text.lastIndexOf('\n') + 1;
      rest = text.slice(end);
      pass(text.slice(0, end));
    }
    pass(rest);
  }

  /** Asked once: a server without the feature refuses the parameter. */
  async #splits(pod: PodView): Promise<'yes' | 'no'> {
    if (this.#split !== 'unknown') return this.#split;
    try {
      await this.#api.text(logPath(pod, { stream: 'Stderr', limitBytes: '1' }));
      this.#split = 'yes';
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.kind !== 'mistake') return 'no';
      if (/stream/.test(error.message)) this.#split = 'no';
      return 'no';
    }
    return this.#split;
  }
}

/** @throws {SlipwayError} `not-found` when the pod has no container. */
function logPath({ namespace, name, process, container }: PodView, query: Record<string, string>): string {
  const which = container?.name ?? process;
  if (which === null) throw new SlipwayError('not-found', `${name} has no container`);
  const all = new URLSearchParams({ container: which, timestamps: 'true', ...query });
  return `${objectPath('Pod', namespace, name)}/log?${all.toString()}`;
}

function hasLogs({ container }: PodView): boolean {
  return container !== null && (container.state.kind !== 'waiting' || container.last !== null);
}

/** `2026-11-28T07:00:00.123456789Z text`. */
function stamped(text: string, stream: Stream): Stamped[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const space = line.indexOf(' ');
      return space < 0
        ? { stamp: line, line: '', stream }
        : { stamp: line.slice(0, space), line: line.slice(space + 1), stream };
    });
}

function sourceOf(pod: PodView): string | null {
  return pod.annotations[SOURCE_ANNOTATION] ?? pod.process;
}

function logLine(pod: PodView, { stamp, line, stream }: Stamped): LogLine {
  return {
    at: Date.parse(stamp),
    source: sourceOf(pod) ?? pod.name,
    instance: pod.annotations[JOB_ANNOTATION] ?? instanceId(pod),
    release: pod.release,
    stream,
    line,
  };
}
