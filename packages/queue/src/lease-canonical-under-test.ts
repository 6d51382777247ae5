import { FINISHED, type Hold, type Process, type Stale, theOne, type World } from './lease-world-under-test.ts';

/**
 * The same text for worlds that differ in nothing but names: of workers, of tasks, of bundles, and of leases, of which only the order counts.
 * There are millions of them, so it is short: of most words the first letter.
 */
export function canonical(world: World): string {
  // In an order that does not depend on the names; where that leaves a choice, the least text of all choices.
  const taskOrders = orders(world.tasks.map((_, t) => taskText(world, t)));
  let least: string | null = null;
  for (const tasks of taskOrders) {
    for (const workers of orders(world.workers.map((worker) => look(worker, tasks)))) {
      const one = new Naming(world, tasks, workers).text();
      if (least === null || one < least) least = one;
    }
  }
  return least ?? '';
}

function orders([first = '', second = '']: string[]): number[][] {
  if (first < second) return [[0, 1]];
  return first > second
    ? [[1, 0]]
    : [
        [0, 1],
        [1, 0],
      ];
}

/** What is to be seen of a task without naming anything. */
function taskText(world: World, t: number): string {
  const { place, lane, cancel, crashes, losses, attempts, bundle } = theOne(world.tasks[t]);
  const past = `${place[0]}${place[1]}${world.told[t]}${world.escalated[t]}`;
  // Of one that has ended nothing else matters any more; of one that is dead, the lane, since it may be redriven.
  if (FINISHED.has(place)) return place === 'dead' ? `${past}${lane[0]}${attempts}` : past;
  return `${past}${lane[0]}${cancel[0]}${Math.min(crashes + losses, 2)}${attempts}${bundle === null ? '' : 'b'}`;
}

function look({ claim, doubt, holds }: Process, tasks: readonly number[]): string {
  let seen = `${claim === null ? '' : claim.step[0]}${doubt[0]}`;
  for (const t of tasks) seen += holdText(holds[t]);
  return seen;
}

function holdText(hold: Hold | null | undefined): string {
  if (hold === null || hold === undefined) return '.';
  return `${hold.end[0]}${hold.end[1]}${hold.step[0]}${hold.step[1]}${hold.leaves[0]}${hold.lane[0]}${hold.certainty[0]}`;
}

/** Gives names in an order of tasks and workers, and says the world in them. */
class Naming {
  readonly #world: World;
  readonly #tasks: readonly number[];
  readonly #workers: readonly number[];
  readonly #ids: string[] = [];
  readonly #leases: number[][];
  readonly #bundles: number[];

  constructor(world: World, tasks: readonly number[], workers: readonly number[]) {
    this.#world = world;
    this.#tasks = tasks;
    this.#workers = workers;
    this.#ids = workers.map((w) => theOne(world.workers[w]).id);
    this.#leases = world.tasks.map((_, t) => leasesOf(world, t));
    this.#bundles = sortedBy(world.bundles, ({ tasks: named }) => this.#order(named)).map(({ id }) => id);
  }

  text(): string {
    const { faults, deaths, workers, stale, rows } = this.#world;
    let text = `${faults}${Math.min(faults, deaths)}`;
    for (const w of this.#workers) text += `${this.#worker(theOne(workers[w]))}/`;
    for (const t of this.#tasks) text += `${this.#task(t)}/`;
    for (const id of this.#bundles) text += this.#bundle(id);
    text += '/';
    for (const word of sortedBy(stale, (one) => this.#stale(one))) text += `${this.#stale(word)}${this.#speaker(word)}`;
    // Rows that nothing else names.
    const rest = Object.keys(rows).filter((name) => !this.#ids.includes(name));
    return `${text}/${sortedBy(
      rest.map((name) => (rows[name] ?? '')[0] ?? ''),
      (row) => row,
    ).join('')}`;
  }

  #worker({ claim, doubt, holds, id }: Process): string {
    let text = `${this.#id(id)}${doubt[0]}`;
    if (claim?.step === 'sent') text += `s${this.#id(claim.id)}${claim.saw ? 1 : 0}`;
    if (claim?.step === 'answered') {
      text += `a${this.#id(claim.id)}${this.#ref(claim.bundle)}`;
      for (const { task, lease } of sortedBy(claim.got, (one) => `${this.#tasks.indexOf(one.task)}`))
        text += `${this.#tasks.indexOf(task)}${this.#rank(task, lease)}`;
    }
    for (const t of this.#tasks) {
      const hold = holds[t];
      text += holdText(hold);
      if (hold === null || hold === undefined) continue;
      const suspect = doubt === 'suspects' && hold.suspect ? '!' : '';
      text += `${this.#rank(t, hold.lease)}${this.#id(hold.id)}${this.#ref(hold.bundle)}${suspect}`;
    }
    return text;
  }

  #task(t: number): string {
    const { lease, holder } = theOne(this.#world.tasks[t]);
    return `${taskText(this.#world, t)}${this.#rank(t, lease)}${holder === null ? '' : this.#id(holder)}`;
  }

  #bundle(id: number): string {
    const { worker, tasks } = theOne(this.#world.bundles.find((bundle) => bundle.id === id));
    return `${this.#id(worker)}${this.#order(tasks)};`;
  }

  #stale(word: Stale): string {
    if (word.what === 'claim') return `c${word.saw ? 1 : 0}`;
    const end = word.what === 'end' ? `${word.end[0]}${word.end[1]}` : 't';
    return `${end}${this.#tasks.indexOf(word.task)}${this.#rank(word.task, word.lease)}${this.#ref(word.bundle)}`;
  }

  #speaker(word: Stale): string {
    return word.what === 'claim' ? this.#id(word.id) : '';
  }

  #id(name: string): string {
    let index = this.#ids.indexOf(name);
    if (index < 0) index = this.#ids.push(name) - 1;
    return `${index}${(this.#world.rows[name] ?? '-')[0]}`;
  }

  /** Those that are not there any more are all the same. */
  #ref(bundle: number | null): string {
    if (bundle === null) return '';
    const index = this.#bundles.indexOf(bundle);
    return index < 0 ? 'x' : ('uvw'[index] ?? 'x');
  }

  /** Nothing that is said of a task that is gone counts, under whatever lease. */
  #rank(t: number, lease: number): string {
    const { place } = theOne(this.#world.tasks[t]);
    return place === 'done' || place === 'cancelled' ? '' : `${theOne(this.#leases[t]).indexOf(lease)}`;
  }

  /** Which tasks these are. */
  #order(named: readonly number[]): string {
    let text = '';
    this.#tasks.forEach((t, index) => (text += named.includes(t) ? index : ''));
    return text;
  }
}

function sortedBy<T>(all: readonly T[], text: (one: T) => string): readonly T[] {
  if (all.length < 2) return all;
  return all.toSorted((a, b) => (text(a) < text(b) ? -1 : 1));
}

/** All leases that anybody knows of, and the next one, which is the one of a task that is leased with a bundle. */
function leasesOf(world: World, t: number): number[] {
  const { lease } = theOne(world.tasks[t]);
  const leases = [lease, lease + 1];
  const add = (one: number): void => {
    if (leases.includes(one)) return;
    let place = leases.length;
    while (place > 0 && theOne(leases[place - 1]) > one) place -= 1;
    leases.splice(place, 0, one);
  };
  for (const { claim, holds } of world.workers) {
    if (claim?.step === 'answered') for (const { task, lease: got } of claim.got) if (task === t) add(got);
    const hold = holds[t];
    if (hold) add(hold.lease);
  }
  for (const word of world.stale) if (word.what !== 'claim' && word.task === t) add(word.lease);
  return leases;
}
