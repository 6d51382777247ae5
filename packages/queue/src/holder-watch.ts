import type { QueueEvent } from './events.ts';
import { type Holder, longestHolder } from './statements/holders.ts';
import type { Database } from './statements/names.ts';

/**
 * Looks now and then for a transaction that has been open for so long that PostgreSQL can't clean up behind the tasks, and
 * tells about each once. Where no tasks flow nothing piles up, and nobody looks.
 */
export class HolderWatch {
  readonly #seconds: number;
  readonly #emit: (event: QueueEvent) => void;
  readonly #told = new Set<string>();
  #flow: 'tasks' | 'none' = 'none';

  constructor(options: { seconds: number; emit: (event: QueueEvent) => void }) {
    this.#seconds = options.seconds;
    this.#emit = options.emit;
  }

  /** A task has ended: it left a row to be cleaned up. */
  taskEnded(): void {
    this.#flow = 'tasks';
  }

  async look(db: Database): Promise<void> {
    if (this.#flow === 'none') return;
    this.#flow = 'none';
    const holder = await longestHolder(db, this.#seconds);
    if (holder === null) this.#told.clear(); // whoever was told about has ended
    else if (!this.#told.has(holder.name)) this.#tell(holder);
  }

  #tell({ name, ...holder }: Holder): void {
    this.#told.add(name);
    this.#emit({ event: 'transaction-held', ...holder });
  }
}
