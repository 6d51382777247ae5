import type { Failure, InstanceState, PlannedProcess, PlannedService } from '@slipway/engine';

/** What one instance is made from. Two equal `key`s are the same process: a plan that repeats it restarts nothing. */
export interface InstanceSpec {
  key: string;
  environment: string;
  release: number;
  commit: string;
  kind: 'service' | 'worker';
  process: PlannedProcess;
  /** null for workers. */
  service: PlannedService | null;
  artifact: string;
  /** Everything but what differs from instance to instance (PORT, HOME, TMPDIR). */
  variables: Record<string, string>;
}

/** What outlives the agent. */
export interface InstanceRecord {
  id: string;
  key: string;
  state: InstanceState;
  since: number;
  restarts: number;
  /** Of the running process; null when there is none. */
  pid: number | null;
  startTime: number | null;
  port: number | null;
  failure: Failure | null;
  /** The spec, since an instance of a dropped release is drained by a plan that does not name it any more. */
  spec: InstanceSpec;
}
