import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ObjectStore } from '../objects/index.ts';
import type { Queue } from '../queue.ts';
import type { TaskKind } from '../task-kind.ts';
import type { Broker } from './broker.ts';

export interface TasksApiOptions {
  queue: Queue;
  /** Where files of tasks are; null: there are none. */
  objects: ObjectStore | null;
  /**
   * A prefix of names of kinds, such as `shop/production/`: what the caller may see and touch, and nothing else. Either '' for everything, or it
   * ends with `/`.
   */
  scope: string;
  /** How tasks of a kind are treated; null: there is no such kind. It is only asked for names within the scope. */
  kindOf: (name: string) => TaskKind<unknown> | null;
  /** Names of all kinds, for the hint when one is misspelled. */
  kinds?: () => readonly string[];
  /** A request failed by a bug. */
  onBug?: (error: unknown) => void;
}

/** What a request is answered from. */
export interface Api extends TasksApiOptions {
  broker: Broker;
  /** @throws {ApiError} 404 for a kind that doesn't exist, or is out of scope. */
  kind: (name: string) => TaskKind<unknown>;
  /** @throws {ApiError} 404 */
  store: () => ObjectStore;
}

/** One request: what its address says, and who waits for the answer. */
export interface Call {
  api: Api;
  request: IncomingMessage;
  response: ServerResponse;
  /** What the route's expression caught. */
  parts: string[];
  query: URLSearchParams;
}

export interface Route {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  path: RegExp;
  answer: (call: Call) => Promise<void>;
}
