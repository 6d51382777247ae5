export { checkPlan } from './check-plan.ts';
export { RUNNER_BYTES, RUNNER_STOP_SECONDS } from './runner-room.ts';
export type { FieldChange, ObjectChange, Protection } from './changes.ts';
export type { Engine, ExecIo, ExecRequest, LogRequest } from './engine.ts';
export { jobResultSchema, jobRunSchema, logLineSchema } from './job.ts';
export type { JobResult, JobRun, LogLine } from './job.ts';
export { planSchema } from './plan.ts';
export type {
  Plan,
  PlannedJob,
  PlannedLane,
  PlannedProcess,
  PlannedRelease,
  PlannedService,
  PlannedWorker,
} from './plan.ts';
export { plannedService } from './planned-service.ts';
export { environmentStatusSchema, failureSchema, observationSchema } from './status.ts';
export type { EnvironmentStatus, Failure, FailureCode, InstanceState, InstanceStatus, Observation } from './status.ts';
