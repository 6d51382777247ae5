/** What the HTTP API says about queues, see docs/api.md. */

export interface QueueAnswer {
  /** The worker's name. */
  name: string;
  /** `APP/ENV`. */
  environment: string;
  lanes: LaneAnswer[];
  ratePerMinute: { arrived: number; done: number };
  oldestSeconds: number | null;
  dead: number;
  /** There are at least as many as the counts say. */
  approximate: boolean;
}

export interface LaneAnswer {
  lane: 'normal' | 'fallback';
  ready: number;
  scheduled: number;
  running: number;
  slots: number;
  maxSlots: number;
  /** Why so many slots. */
  reason: string;
  size: { cpu: number; memoryBytes: number; timeoutSeconds: number };
  counts: Record<
    'done' | 'errors' | 'ooms' | 'timeouts' | 'crashes' | 'lost' | 'interrupted' | 'escalated' | 'dead',
    number
  >;
}

export interface TaskAnswer {
  id: string;
  queue: string;
  state: 'scheduled' | 'blocked' | 'ready' | 'running' | 'done' | 'dead';
  lane: 'normal' | 'fallback';
  key: string | null;
  /** This and the counts below: null when it is done. */
  priority: number | null;
  attempts: number;
  failures: number | null;
  ooms: number | null;
  timeouts: number | null;
  crashes: number | null;
  losses: number | null;
  interruptions: number | null;
  progress: unknown;
  payload: unknown;
  result: unknown;
  output: unknown;
  error: string | null;
  cause: string | null;
  history: { attempt: number; lane: string; at: string; cause: string; message: string }[];
  createdAt: string;
  /** null: it has ended. */
  runAt: string | null;
  finishedAt: string | null;
}

export interface TasksAnswer {
  tasks: TaskAnswer[];
  next: string | null;
}
