export { runServer, Server } from './server.ts';
export type { ServerOptions } from './server.ts';
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
  ApiRelease,
  ApiQueue,
  ApiRollout,
  ApiTask,
  ApiToken,
  ApiWhy,
  Role,
} from './api/schemas.ts';
