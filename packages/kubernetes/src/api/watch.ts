import { StringDecoder } from 'node:string_decoder';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '@slipway/app';
import { ApiError, refusal } from './api-error.ts';
import type { ApiClient } from './client.ts';
import type { Kind } from './resources.ts';
import { collectionPath } from './resources.ts';

/** What every object of the API has. */
export interface Watched {
  metadata: { name: string; namespace?: string; uid: string; resourceVersion: string };
}

export interface WatchOptions<T extends Watched> {
  kind: Kind;
  /** Left out: of the whole cluster. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  /** `metadata`: the server leaves out everything else. */
  content: 'whole' | 'metadata';
  /** Every object there is; what is missing is gone. */
  replaced: (objects: AsyncIterable<T>) => Promise<void>;
  changed: (object: T) => void;
  deleted: (object: T) => void;
  /** The state of the watch changed. Default: nobody hears it. */
  trouble?: (error: ApiError | null) => void;
}

const PAGE = 500;
/** The server ends a watch after so long; each watch gets its own time, so that they don't begin anew together. */
const WATCH_SECONDS = { least: 300, most: 600 };
const PAUSE_MILLISECONDS = { first: 100, most: 30_000 };

interface List<T> {
  metadata: { resourceVersion: string; continue?: string };
  items: T[] | null;
}

type Change<T> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'; object: T }
  | { type: 'ERROR'; object: { code?: number; message?: string } };

/**
 * Follows a collection for as long as it is wanted.
 *
 * It is in one of two states. `version` is null: everything has to be listed. Or it is the version up to which all is known: the watch goes on
 * from there.
 *
 * | state | happens | then |
 * | --- | --- | --- |
 * | null | the list was read | version of the list |
 * | null | the list failed | null, after a pause that doubles up to 30 s |
 * | version | a change or a bookmark came | its version |
 * | version | the server ended the watch, or the connection broke (`ApiClient` cuts one that is dead) | the same version, at once; after a pause if nothing had come |
 * | version | 410 Gone, on opening or within: the server has forgotten what was since | null |
 *
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 */
export class Watch<T extends Watched> {
  readonly #api: ApiClient;
  readonly #options: WatchOptions<T>;
  readonly #abort = new AbortController();
  readonly #listed = Promise.withResolvers<void>();
  #version: string | null = null;
  #pause: number = PAUSE_MILLISECONDS.first;
  #loop: Promise<void> | null = null;

  constructor(api: ApiClient, options: WatchOptions<T>) {
    this.#api = api;
    this.#options = options;
  }

  /** Resolves when everything was listed once, or the kind turned out not to be served. */
  async start(): Promise<void> {
    this.#loop ??= this.#run();
    await this.#listed.promise;
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#listed.resolve();
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (!this.#stopped()) {
      try {
        await (this.#version === null ? this.#list() : this.#follow(this.#version));
        this.#options.trouble?.(null);
      } catch (error) {
        if (this.#stopped()) return;
        if (error instanceof ApiError && error.status === 410) {
          this.#version = null;
          continue;
        }
        // Whoever takes the changes has a bug; the others go on.
        const known =
          error instanceof ApiError ? error : new ApiError('bug', messageOf(error), { status: 0, cause: error });
        this.#options.trouble?.(known);
        // A kind that the cluster does not have holds up nobody.
        if (known.status === 404) this.#listed.resolve();
        await this.#rest();
      }
    }
  }

  #stopped(): boolean {
    return this.#abort.signal.aborted;
  }

  async #rest(): Promise<void> {
    const pause = this.#pause * (0.5 + Math.random());
    this.#pause = Math.min(this.#pause * 2, PAUSE_MILLISECONDS.most);
    await delay(pause, undefined, { signal: this.#abort.signal }).catch(() => undefined);
  }

  async #list(): Promise<void> {
    let version = '';
    const pages = this.#pages((found) => (version = found));
    await this.#options.replaced(pages);
    this.#version = version;
    this.#pause = PAUSE_MILLISECONDS.first;
    this.#listed.resolve();
  }

  async *#pages(version: (found: string) => void): AsyncGenerator<T> {
    let next: string | undefined;
    do {
      const query = this.#query({ limit: `${PAGE}`, ...(next === undefined ? {} : { continue: next }) });
      const page: List<T> = await this.#api.get(query, { accept: this.#accept('List'), signal: this.#abort.signal });
      version(page.metadata.resourceVersion);
      // A list of metadata that is empty has null here.
      yield* page.items ?? [];
      next = page.metadata.continue === '' ? undefined : page.metadata.continue;
    } while (next !== undefined);
  }

  async #follow(version: string): Promise<void> {
    const { least, most } = WATCH_SECONDS;
    const query = this.#query({
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: version,
      timeoutSeconds: `${Math.round(least + Math.random() * (most - least))}`,
    });
    const body = await this.#api.stream(query, { signal: this.#abort.signal, accept: this.#accept(''), on: 'shared' });
    let silent = true;
    for await (const change of changes<T>(body, query)) {
      this.#api.heard();
      this.#take(change);
      silent = false;
      this.#pause = PAUSE_MILLISECONDS.first;
    }
    if (silent) await this.#rest();
  }

  #take(change: Change<T>): void {
    if (change.type === 'ERROR') throw refusal('watch', change.object.code ?? 500, JSON.stringify(change.object));
    if (change.type === 'DELETED') this.#options.deleted(change.object);
    else if (change.type !== 'BOOKMARK') this.#options.changed(change.object);
    // Only now: a change that could not be taken is sent again.
    this.#version = change.object.metadata.resourceVersion;
  }

  #query(more: Record<string, string>): string {
    const { kind, namespace, labelSelector, fieldSelector } = this.#options;
    const query = new URLSearchParams({
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
      ...more,
    });
    return `${collectionPath(kind, namespace)}?${query.toString()}`;
  }

  #accept(suffix: 'List' | ''): string {
    return this.#options.content === 'whole'
      ? 'application/json'
      : `application/json;as=PartialObjectMetadata${suffix};g=meta.k8s.io;v=v1`;
  }
}

/** One change a line. A broken connection is an error; the end is the server's. */
async function* changes<T>(body: Readable, what: string): AsyncGenerator<Change<T>> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      const lines = (rest + decoder.write(chunk)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const change: Change<T> = JSON.parse(line);
        yield change;
      }
    }
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError('transient', `The watch ${what.split('?')[0]} broke`, { status: 0, cause: error });
  }
}
