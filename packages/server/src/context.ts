import type { Forge } from '@slipway/forge';
import type { Queue } from '@slipway/queue';
import type { ObjectStore } from '@slipway/queue/objects';
import type { Pool } from 'pg';
import type { Changes } from './events/changes.ts';
import type { Engines } from './environments/engines.ts';
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
  /** What runs environments; the machine one also runs builds and checks. */
  engines: Engines;
  changes: Changes;
  /** Where artifacts are kept. */
  artifacts: string;
  log: (message: string) => void;
}
