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
  ApiScale,
  ApiSizeProposal,
  ApiTask,
  ApiToken,
  ApiWhy,
  Role,
} from './api/schemas.ts';
