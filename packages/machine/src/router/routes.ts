/**
 * What the supervisor tells the router about one environment. A table replaces the one before it at once: requests that
 * have begun stay with their backend, new ones follow the new table. The router never asks the supervisor who is ready.
 */
export interface RouteTable {
  /** Host names that lead here, lower case, without a port. */
  hosts: readonly string[];
  /**
   * | answer | a request is |
   * | --- | --- |
   * | forward | given to a backend; without one it is held up to `holdSeconds`, then answered 503 with `explanation` |
   * | wake | held while `RouterEvents.wake` runs, then given to a backend of the new table |
   */
  answer: 'forward' | 'wake';
  /** Releases that may get new requests, with their share (0 to 100, relative). */
  releases: readonly RoutedRelease[];
  /** For people whose request could not be served: what is wrong and what to do. null: a plain sentence is made. */
  explanation: string | null;
}

export interface RoutedRelease {
  number: number;
  weight: number;
  services: readonly RoutedService[];
}

export interface RoutedService {
  name: string;
  /** Public path prefix; null: only reached through its internal port. The longest matching prefix wins. */
  route: string | null;
  /** Instances that are ready. */
  backends: readonly Backend[];
}

export interface Backend {
  /** Instance id. */
  id: string;
  /** Port on 127.0.0.1. */
  port: number;
}

export interface RouterEvents {
  /**
   * A request came for an environment whose table says `wake`. Called once per environment until the promise settles. It resolves when a
   * table with ready backends has been set; rejects with a sentence for people when that can't be.
   */
  wake(environment: string): Promise<void>;
}

/** The router's face to the supervisor. */
export interface Routes {
  /** Sets or replaces an environment's table. */
  set(environment: string, table: RouteTable): void;
  /** Forgets an environment: its hosts answer 404, its internal ports close. */
  delete(environment: string): void;
  /**
   * Opens (or returns) the loopback port that leads to one service of an environment, whichever release has traffic. `preferred` is the port
   * it had before a restart. Requests on it wake the environment like public ones.
   */
  internalPort(environment: string, service: string, preferred: number | null): Promise<number>;
  /** Time of the newest request to the environment (start or end of one, or traffic on an open WebSocket), milliseconds since 1970. */
  lastRequestAt(environment: string): number | null;
  /** Requests and upgraded connections in flight to an environment. */
  inFlight(environment: string): number;
  /** Resolves when nothing is in flight to this backend, or `signal` aborts. New requests must have been taken away by `set` before. */
  drained(backendId: string, signal: AbortSignal): Promise<void>;
}
