import type { LeasedTask } from './lease-machine.ts';

/**
 * Two workers, two tasks and a PostgreSQL between them, as a world that steps from state to state, for the test that visits all of them.
 *
 * A worker asks for tasks and reports ends; each word is a statement on a wire. PostgreSQL carries it out at any later time,
 * or never; the answer arrives at any later time, or gets lost with the connection, and then the worker says it again. What nobody waits for any
 * more may still be carried out. A worker may be silent, be given up, come back, or be killed and started anew, at any point.
 *
 * Workers claim task by task; where the world says so, also both tasks, or one of them, in a bundle. One that has ended them all, or taken them
 * out, deletes the bundle: with the last end, or a moment later, which is left out, since a bundle that leases nothing concerns nobody.
 */
export interface World {
  tasks: LeasedTask[];
  /** Workers' rows by id. */
  rows: Record<string, 'live' | 'gone'>;
  workers: Process[];
  /**
   * How workers claim what was never begun: `singly`, `also in bundles`, or only `in bundles`. Those worlds are large, so in the last one an
   * attempt that left its bundle ends in fewer ways: it is done, or is tried again.
   */
  manners: 'singly' | 'also in bundles' | 'in bundles';
  /** Rows of bundles, oldest first, and how many there ever were. */
  bundles: Bundle[];
  made: number;
  /** Statements that nobody waits for any more, and that PostgreSQL may still carry out. */
  stale: Stale[];
  /** How often a worker was told that it finished the task; and how often the task changed its lane. */
  told: number[];
  escalated: number[];
  /** The last lease that a worker got of the task. */
  given: number[];
  /** What else may go wrong before the world runs smoothly: bounds the number of states, not the order of things. */
  faults: number;
  /** How many of these may be that a worker is killed, or given up. */
  deaths: number;
}

export interface Bundle {
  id: number;
  worker: string;
  /** Which tasks its row names; those that are done stay named. */
  tasks: number[];
}

export interface Process {
  /** Id of its row; a new one after each lost lease. */
  id: string;
  /** `saw`: PostgreSQL has begun with it, and saw its worker alive; what it leases, others see later. */
  claim:
    | null
    | { id: string; step: 'sent'; saw: boolean }
    | { id: string; step: 'answered'; got: { task: number; lease: number }[]; bundle: number | null };
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
  /** The bundle it is claimed with, until its worker has taken it out. */
  bundle: number | null;
  /** It is taken out, which is a statement of its own, with an answer that may get lost. */
  leaves: 'no' | 'sent' | 'written';
  /** `runs`, or the end that is to be written; `unbegun`: it was taken back from its bundle, and is given back if it had left it. */
  end: 'runs' | 'unbegun' | End;
  step: 'runs' | 'sent' | 'accepted' | 'late';
  certainty: 'first' | 'repeated';
  /** It was known when the doubt ended, and may hide a later lease of the same task. */
  suspect: boolean;
}

export type Stale =
  | { what: 'claim'; id: string; saw: boolean }
  | { what: 'end'; task: number; lease: number; end: End; bundle: number | null }
  | { what: 'take out'; task: number; lease: number; bundle: number };

export const FINISHED = new Set<LeasedTask['place']>(['done', 'dead', 'cancelled']);

export interface Beginning {
  faults: number;
  deaths: number;
  /** `1`: the other one has ended already. */
  tasks: 1 | 2;
  manners: World['manners'];
}

export function firstWorld({ faults, deaths, tasks, manners }: Beginning): World {
  const task = (place: LeasedTask['place']): LeasedTask => ({
    place,
    lane: 'normal',
    lease: 0,
    holder: null,
    bundle: null,
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
    manners,
    bundles: [],
    made: 0,
    stale: [],
    told: [0, 0],
    escalated: [0, 0],
    given: [0, 0],
    faults,
    deaths,
  };
}

export function isOver(world: World): boolean {
  return world.bundles.length === 0 && world.tasks.every(({ place }) => FINISHED.has(place));
}

/**
 * Takes away what nothing depends on any more, which is not worth a state of its own: words that can't count, whenever they are carried out;
 * bundles that lease nothing and that nobody will speak of; and then rows of workers.
 */
export function forgetVain(world: World): void {
  const { tasks, rows, workers } = world;
  world.stale = world.stale.filter((word) => {
    if (word.what === 'claim') return word.saw || rows[word.id] === 'live';
    const { place, lease } = theOne(tasks[word.task]);
    return place !== 'done' && place !== 'cancelled' && word.lease >= lease;
  });
  world.bundles = world.bundles.filter(
    ({ id }) =>
      tasks.some(({ bundle }) => bundle?.id === id) ||
      workers.some(({ holds }) => holds.some((hold) => hold?.bundle === id)) ||
      world.stale.some((word) => word.what !== 'claim' && word.bundle === id),
  );
  for (const id of Object.keys(rows))
    if (!workers.some((worker) => worker.id === id) && !isNamed(world, id, -1)) delete rows[id];
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
    isLeasedTo(world, id) ||
    world.workers.some(
      (worker, w) => (w !== except && worker.id === id) || worker.holds.some((hold) => hold?.id === id),
    )
  );
}

/** Whether a worker of this id has tasks or bundles, as PostgreSQL sees it. */
export function isLeasedTo(world: World, id: string): boolean {
  return world.tasks.some(({ holder }) => holder === id) || world.bundles.some(({ worker }) => worker === id);
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
    bundles: world.bundles.map((bundle) => ({ ...bundle, tasks: [...bundle.tasks] })),
    stale: [...world.stale],
    told: [...world.told],
    escalated: [...world.escalated],
    given: [...world.given],
  };
}
