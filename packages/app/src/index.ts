export type {
  App,
  Check,
  Database,
  Environment,
  Job,
  Lane,
  Problem,
  Replicas,
  Service,
  Size,
  Worker,
} from './app.ts';
export { SlipwayError } from './errors.ts';
export type { ErrorKind } from './errors.ts';
