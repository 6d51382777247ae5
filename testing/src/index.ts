export { cannotRun, findChromium } from './chromium.ts';
export { testDatabase } from './database.ts';
export type { TestDatabase, Template } from './database.ts';
export { temporaryFolder } from './folder.ts';
export { ownPostgres } from './own-postgres.ts';
export { freePort } from './port.ts';
export { startProcess } from './process.ts';
export type { ProcessOptions, TestProcess } from './process.ts';
export { waitFor, waitUntilStill } from './wait-for.ts';
