/** What the HTTP API answers. Types only: a thin command never loads the control plane. */
export type {
  ApiApp,
  ApiCluster,
  ApiClusterReport,
  ApiCreatedToken,
  ApiEnvironment,
  ApiEvent,
  ApiJobResult,
  ApiLogLine,
  ApiProblem,
  ApiQueue,
  ApiRelease,
  ApiRollout,
  ApiTask,
  ApiToken,
  ApiWhy,
} from '@slipway/server';
