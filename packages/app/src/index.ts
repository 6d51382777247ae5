export type {
  App,
  Ceiling,
  Check,
  Database,
  Environment,
  Job,
  JsonPatchOperation,
  Kubernetes,
  Lane,
  Patch,
  PatchContent,
  Place,
  Problem,
  Replicas,
  Service,
  Size,
  Worker,
} from './app.ts';
export { configPaths, parseConfig, resolveConfig } from './config.ts';
export { messageOf, SlipwayError } from './errors.ts';
export type { ErrorKind } from './errors.ts';
export { addressVariable, appNameProblem, nameProblem, toLabel } from './names.ts';
export { nearest } from './nearest.ts';
export { formatProblem, parseApp } from './parse.ts';
export type { ParsedApp } from './parse.ts';
export { jsonSchema } from './schema.ts';
