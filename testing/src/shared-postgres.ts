import path from 'node:path';
import { EmbeddedPostgres } from '@slipway/postgres';

/** The one PostgreSQL of a test run. Starting it from several processes is fine: the first one starts, the others adopt. */
export function sharedPostgres(runFolder: string): { folder: string; server: EmbeddedPostgres } {
  const folder = path.join(runFolder, 'postgres');
  const server = new EmbeddedPostgres({ folder, durable: 'no', settings: { max_connections: '300' } });
  return { folder, server };
}
