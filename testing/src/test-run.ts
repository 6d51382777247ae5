import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    /** Folder of this test run: every temporary file, and the PostgreSQL that all tests share. */
    slipwayTestRun: string;
  }
}

export function testRunFolder(): string {
  return inject('slipwayTestRun');
}
