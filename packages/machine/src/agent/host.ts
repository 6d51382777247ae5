import type { TreeWatch } from '@slipway/queue/processes';
import type { Routes } from '../router/routes.ts';
import type { Clock } from './clock.ts';
import type { AppUser } from './user.ts';

/** What everything the agent supervises shares. */
export interface Host {
  /** The agent's folder. */
  folder: string;
  /** User of apps and jobs; null: the agent's own. */
  user: AppUser | null;
  /** PATH of apps and jobs. */
  path: string;
  /** Shell words that start the runner of this installation, which does the tasks of a queue. */
  runner: string;
  /** Port of the public router, for URLs. */
  routerPort: () => number;
  routes: Routes;
  memory: TreeWatch;
  clock: Clock;
  /** A free port for a new process. */
  choosePort: () => Promise<number>;
  /** One line for the operator. */
  log: (message: string) => void;
}
