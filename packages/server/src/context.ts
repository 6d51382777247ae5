import type { Engine } from '@slipway/engine';
import type { Forge } from '@slipway/forge';
import type { Queue } from '@slipway/queue';
import type { ObjectStore } from '@slipway/queue/objects';
import type { Pool } from 'pg';
import type { Changes } from './events/changes.ts';
import type { Fleet } from './environments/fleet.ts';
import type { QueueAccess } from './workers/queue-access.ts';
import type { QueueKinds } from './workers/queue-kinds.ts';

/** What every part of the control plane is given. Made once in server.ts. */
export interface Context {
  pool: Pool;
  /** The control plane's own work. */
  queue: Queue;
  /** Tasks of apps. */
  tasks: Queue;
  /** Payloads and files of tasks of apps. */
  objects: ObjectStore;
  /** Who may use the queues of apps. */
  queueAccess: QueueAccess;
  /** What the queues of apps are. */
  kinds: QueueKinds;
  forge: Forge;
  engine: Engine;
  /** What the engine sees, by environment. */
  fleet: Fleet;
  changes: Changes;
  /** Where artifacts are kept. */
  artifacts: string;
  /** Environments are reached as `<environment>.<app>.<domain>`. */
  domain: string;
  /** Port of the router, for URLs. */
  routerPort: number;
  log: (message: string) => void;
}
