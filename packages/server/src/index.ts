export { runServer, Server } from './server.ts';
export type { ServerOptions } from './server.ts';
export type {
  ApiApp,
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
