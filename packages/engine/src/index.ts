export type { Engine, ExecIo, ExecRequest, LogRequest } from './engine.ts';
export { jobResultSchema, jobRunSchema, logLineSchema } from './job.ts';
export type { JobResult, JobRun, LogLine } from './job.ts';
export { planSchema } from './plan.ts';
export type { Plan, PlannedProcess, PlannedRelease, PlannedService, PlannedWorker } from './plan.ts';
export { environmentStatusSchema, failureSchema, observationSchema } from './status.ts';
export type { EnvironmentStatus, Failure, FailureCode, InstanceState, InstanceStatus, Observation } from './status.ts';
