export { AttemptAborted, Crashed, Discard, Interrupted, OutOfMemory, Snooze, TimedOut } from './attempt.ts';
export type { AbortCause, Attempt, Handler, Usage } from './attempt.ts';
export type { AttemptEnd, AttemptName, QueueEvent } from './events.ts';
export { inTransaction } from './in-transaction.ts';
export { migrate, MigrationRefused } from './migrate.ts';
export type { MigrateOptions } from './migrate.ts';
export { openQueue } from './open-queue.ts';
export type { OpenOptions } from './open-queue.ts';
export { connectPool } from './pool.ts';
export type { ConnectOptions } from './pool.ts';
export { Queue } from './queue.ts';
export type { AddedBatch } from './producer.ts';
export type {
  BatchOptions,
  CronOptions,
  EnqueueOptions,
  MemberOptions,
  QueueOptions,
  TaskOptions,
  WorkOptions,
} from './queue-options.ts';
export type { Rate } from './rate.ts';
export { ApiRefused, ApiUnreachable } from './remote/api-client.ts';
export { tasksApi } from './remote/http.ts';
export type { TasksApiOptions } from './remote/api-call.ts';
export type { LaneSlots } from './remote/lane-slots.ts';
export type { FileStore } from './remote/remote-files.ts';
export { RemoteQueue } from './remote/remote-queue.ts';
export type { RemoteQueueOptions } from './remote/remote-queue.ts';
export { runCommands } from './remote/run-commands.ts';
export type { CommandSource, CommandWorker, RunCommandsOptions } from './remote/run-commands.ts';
export type { Backlog } from './statements/backlog.ts';
export type { BatchResult } from './statements/batch-results.ts';
export { deathCauses } from './statements/bury.ts';
export type { DeathCause } from './statements/bury.ts';
export type { KindCounts } from './statements/counts.ts';
export type { DeadTask } from './statements/dead.ts';
export type { TaskPage, TaskState, TaskView } from './statements/inspect.ts';
export type { Lane } from './statements/lane.ts';
export type { EndCause, HistoryEntry } from './statements/release.ts';
export type { TallyRow } from './statements/tally.ts';
export { taskKind } from './task-kind.ts';
export type { RateOptions, TaskKind, TaskKindOptions } from './task-kind.ts';
/** Zod, as the queue itself uses it: payloads are described with it. */
export { z } from 'zod';
