import { onTestFinished } from 'vitest';

/**
 * Runs `release` when the current test ends, last registered first. Outside of a test (in `beforeAll`) the caller releases by
 * itself. Call it before the first `await`: after that, a concurrent test may be the current one.
 */
export function atEndOfTest(release: () => Promise<void> | void): void {
  try {
    onTestFinished(async () => release());
  } catch {
    // Not in a test.
  }
}
