import type { LeasedTask } from './lease-machine.ts';

/**
 * Two workers, two tasks and a PostgreSQL between them, as a world that steps from state to state, for the test that visits all of them.
 *
 * A worker asks for tasks and reports ends; each word is a statement on a wire. PostgreSQL carries it out at any later time,
 * or never; the answer arrives at any later time, or gets lost with the connection, and then the worker says it again. What nobody waits for any
 * more may still be carried out. A worker may be silent, be given up, come back, or be killed and started anew, at any point.
 */
export interface World {
  tasks: LeasedTask[];
  /** Workers' rows by id. */
  rows: Record<string, 'live' | 'gone'>;
  workers: Process[];
  /** Statements that nobody waits for any more, and that PostgreSQL may still carry out. */
  stale: Stale[];
  /** How often a worker was told that it finished the task; and how often the task changed its lane. */
  told: number[];
  escalated: number[];
  /** What else may go wrong before the world runs smoothly: bounds the number of states, not the order of things. */
  faults: number;
}

export interface Process {
  /** Id of its row; a new one after each lost lease. */
  id: string;
  /** `saw`: PostgreSQL has begun with it, and saw its worker alive; what it leases, others see later. */
  claim:
    | null
    | { id: string; step: 'sent'; saw: boolean }
    | { id: string; step: 'answered'; task: number | null; lease: number };
  /** `open`: a claim of its may have been carried out without its knowing. `suspects`: only of tasks whose earlier attempts it still ends. */
  doubt: 'none' | 'open' | 'suspects';
  /** What it believes to hold, by task. */
  holds: (Hold | null)[];
}

export type End = 'done' | 'again' | 'escalated' | 'dead' | 'interrupted';

export interface Hold {
  lease: number;
  /** Under which id it was claimed. */
  id: string;
  lane: LeasedTask['lane'];
  /** `runs`, or the end that is to be written. */
  end: 'runs' | End;
  step: 'unsaid' | 'sent' | 'accepted' | 'late';
  certainty: 'first' | 'repeated';
  /** It was known when the doubt ended, and may hide a later lease of the same task. */
  suspect: boolean;
}

export type Stale =
  | { what: 'claim'; id: string; saw: boolean }
  | { what: 'end'; task: number; lease: number; end: End };

export const FINISHED = new Set<LeasedTask['place']>(['done', 'dead', 'cancelled']);

/** @param tasks `1`: the other one has ended already. */
export function firstWorld(faults: number, tasks: 1 | 2 = 2): World {
  const task = (place: LeasedTask['place']): LeasedTask => ({
    place,
    lane: 'normal',
    lease: 0,
    holder: null,
    cancel: 'no',
    attempts: 0,
    failures: 0,
    ooms: 0,
    timeouts: 0,
    crashes: 0,
    losses: 0,
    interruptions: 0,
    lossesAllowed: 2,
  });
  const process = (id: string): Process => ({ id, claim: null, doubt: 'none', holds: [null, null] });
  return {
    tasks: [task('ready'), task(tasks === 2 ? 'ready' : 'done')],
    rows: { a: 'live', b: 'live' },
    workers: [process('a'), process('b')],
    stale: [],
    told: [0, 0],
    escalated: [0, 0],
    faults,
  };
}

export function isOver(world: World): boolean {
  return world.tasks.every(({ place }) => FINISHED.has(place));
}

/** Whether a claim under this id may still be carried out. */
export function isUnderWay(world: World, id: string): boolean {
  return (
    world.stale.some((word) => word.what === 'claim' && word.id === id) ||
    world.workers.some(({ claim }) => claim?.id === id && claim.step === 'sent')
  );
}

export function isNamed(world: World, id: string, except: number): boolean {
  return (
    isUnderWay(world, id) ||
    world.tasks.some(({ holder }) => holder === id) ||
    world.workers.some(
      (worker, w) => (w !== except && worker.id === id) || worker.holds.some((hold) => hold?.id === id),
    )
  );
}

export function theOne<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error('the world has no such thing');
  return value;
}

export function copyOf(world: World): World {
  return {
    ...world,
    tasks: world.tasks.map((task) => ({ ...task })),
    rows: { ...world.rows },
    workers: world.workers.map((worker) => ({ ...worker, holds: worker.holds.map((hold) => hold && { ...hold }) })),
    stale: [...world.stale],
    told: [...world.told],
    escalated: [...world.escalated],
  };
}
