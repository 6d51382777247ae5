import { join } from 'node:path';
import type { PlannedRelease } from '@slipway/engine';
import { isDiskFull, writeWhole } from './files.ts';
import type { InstanceRecord } from './instance-record.ts';
import { messageOf } from './thrown.ts';
import type { Share } from './traffic.ts';

/** What is on disk beside the plan: facts that a restarted agent can't find out by looking. */
export interface EnvironmentRecord {
  activity: 'awake' | 'asleep';
  /** Who got the requests last. */
  shares: Share[];
  /** Releases that the plan dropped while they still have the requests. */
  leaving: PlannedRelease[];
  internalPorts: Record<string, number>;
  lastRequestAt: number | null;
  instances: InstanceRecord[];
  /** A removal that began is finished by the next agent. */
  removing: boolean;
}

/** A fresh one for each environment: nothing of it is shared. */
export const emptyRecord = (): EnvironmentRecord => ({
  activity: 'awake',
  shares: [],
  leaving: [],
  internalPorts: {},
  lastRequestAt: null,
  instances: [],
  removing: false,
});

/** Keeps the newest record of one environment on disk: while one is being written, the newest state waits for its turn. */
export class RecordFile {
  readonly #path: string;
  readonly #read: () => EnvironmentRecord;
  readonly #trouble: (reason: string | null) => void;
  #saved = '';
  #saving: Promise<void> | null = null;

  /** `trouble` hears why the record can't be written, and null when it can again. */
  constructor(folder: string, read: () => EnvironmentRecord, trouble: (reason: string | null) => void) {
    this.#path = join(folder, 'state.json');
    this.#read = read;
    this.#trouble = trouble;
  }

  /** Something may have changed. Never throws. */
  save(): void {
    if (this.#saving === null && JSON.stringify(this.#read()) !== this.#saved) this.#saving = this.#write();
  }

  /** Resolves when what was saved so far is on disk, or could not be written. */
  async settled(): Promise<void> {
    while (this.#saving !== null) await this.#saving;
  }

  async #write(): Promise<void> {
    try {
      for (let text = JSON.stringify(this.#read()); text !== this.#saved; text = JSON.stringify(this.#read())) {
        await writeWhole(this.#path, text, 'process');
        this.#saved = text;
      }
      this.#trouble(null);
    } catch (error) {
      this.#trouble(isDiskFull(error) ? 'the disk is full' : messageOf(error));
    } finally {
      // In the same step as the last comparison, so that no change falls between.
      this.#saving = null;
    }
  }
}
