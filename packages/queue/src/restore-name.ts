import { sqlState } from './connection-errors.ts';
import { UNIQUE_VIOLATION } from './statements/names.ts';

/**
 * Gives tasks back, to wait under their unique names where no successor does. One that comes at that very moment makes the
 * statement fail; then it is tried again, and they wait without a name.
 */
export async function restoringName<T>(giveBack: (name: 'restore' | 'drop') => Promise<T>): Promise<T> {
  try {
    return await giveBack('restore');
  } catch (error) {
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
    return giveBack('drop');
  }
}
