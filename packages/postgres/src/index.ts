export { EmbeddedPostgres, neighbourUrl } from './embedded-postgres.ts';
export type { EmbeddedPostgresOptions, PostgresExit } from './embedded-postgres.ts';
export type { Durability } from './settings.ts';
