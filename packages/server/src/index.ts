export { runServer, Server } from './server.ts';
export type { ServerOptions } from './server.ts';
export type {
  ApiApp,
  ApiCluster,
  ApiClusterReport,
  ApiCreatedToken,
  ApiDifference,
  ApiEnvironment,
  ApiEvent,
  ApiJobResult,
  ApiLogLine,
  ApiProblem,
  ApiProtection,
  ApiRelease,
  ApiQueue,
  ApiRollout,
  ApiTask,
  ApiToken,
  ApiWhy,
  Role,
} from './api/schemas.ts';
