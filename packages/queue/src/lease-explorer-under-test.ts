import { canonical } from './lease-canonical-under-test.ts';
import type { Bug, Moved } from './lease-change-under-test.ts';
import type { LeaseAction, LeasedTask } from './lease-machine.ts';
import { stepsFrom } from './lease-steps-under-test.ts';
import { type Beginning, firstWorld, isOver, type World } from './lease-world-under-test.ts';

export interface Exploration {
  states: number;
  steps: number;
  /** What should never happen, and how it came to it; null: it never does. */
  broken: string | null;
  /** A state from which no end can be reached any more although nothing else goes wrong; null: there is none. */
  stuck: string | null;
  /** Every task state with every action that met it. */
  moves: Map<string, { before: LeasedTask; action: LeaseAction }>;
}

/** Visits every state of the world that a beginning leads to. The newest first: so few wait to be visited, and those take the memory. */
export function explore(begin: Beginning, bug: Bug): Exploration {
  const first = firstWorld(begin);
  const numbers = new Map([[canonical(first), 0]]);
  const waiting: { world: World; number: number }[] = [{ world: first, number: 0 }];
  const over: number[] = [];
  const smooth = new Pairs();
  const moves: Exploration['moves'] = new Map();
  let steps = 0;
  for (let one = waiting.pop(); one !== undefined; one = waiting.pop()) {
    const { world, number } = one;
    if (isOver(world)) over.push(number);
    for (const step of stepsFrom(world, bug)) {
      steps += 1;
      for (const moved of step.moved) note(moves, moved);
      if (step.broken !== null)
        return { states: numbers.size, steps, broken: `${step.broken}: ${step.name}`, stuck: null, moves };
      const name = canonical(step.world);
      let next = numbers.get(name);
      if (next === undefined) {
        next = numbers.size;
        numbers.set(name, next);
        waiting.push({ world: step.world, number: next });
      }
      if (step.weather === 'smooth') smooth.add(number, next);
    }
  }
  const stuck = unreachable(numbers.size, over, smooth.all());
  return { states: numbers.size, steps, broken: null, stuck: [...numbers.keys()][stuck] ?? null, moves };
}

/** Pairs of numbers, tens of millions of them, in little memory. */
class Pairs {
  #numbers = new Int32Array(1 << 16);
  #size = 0;

  add(from: number, to: number): void {
    if (this.#size === this.#numbers.length) {
      const larger = new Int32Array(this.#size * 2);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    this.#numbers[this.#size++] = from;
    this.#numbers[this.#size++] = to;
  }

  all(): Int32Array {
    return this.#numbers.subarray(0, this.#size);
  }
}

/** The first state that does not lead to any of the ends; -1: all do. */
function unreachable(states: number, ends: readonly number[], steps: Int32Array): number {
  const first = new Int32Array(states + 1);
  for (let i = 1; i < steps.length; i += 2) first[(steps[i] ?? 0) + 1]! += 1;
  for (let i = 1; i <= states; i++) first[i]! += first[i - 1] ?? 0;
  const from = new Int32Array(steps.length / 2);
  const filled = first.slice();
  for (let i = 0; i < steps.length; i += 2) from[filled[steps[i + 1] ?? 0]!++] = steps[i] ?? 0;
  const reached = new Uint8Array(states);
  const queue = [...ends];
  for (const end of ends) reached[end] = 1;
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (let i = first[next] ?? 0; i < (first[next + 1] ?? 0); i++) {
      const before = from[i] ?? 0;
      if (reached[before] === 1) continue;
      reached[before] = 1;
      queue.push(before);
    }
  }
  return reached.indexOf(0);
}

/**
 * Notes what was done to a task in which state, without names and absolute numbers: the row's lease is 5, and which lease an action names
 * matters only as this one, the next or an older one.
 */
function note(moves: Exploration['moves'], { before, action }: Moved): void {
  const owner = before.holder ?? before.bundle?.worker;
  const named = (name: string) => (name === owner ? 'holder' : 'other');
  let plain: LeaseAction = action;
  if ('lease' in action) plain = { ...action, lease: 5 + Math.max(-1, action.lease - before.lease) };
  if ('worker' in action) plain = { ...action, worker: named(action.worker) };
  if ('gone' in action) plain = { ...action, gone: action.gone.map(named).toSorted().slice(0, 1) };
  if ('bundle' in plain) plain = { ...plain, bundle: plain.bundle === before.bundle?.id ? 1 : 2 };
  const { place, lane, cancel, attempts, crashes, losses } = before;
  const owned = before.holder === null ? (before.bundle === null ? 'no' : 'bundle') : 'holder';
  const key = `${place} ${lane} ${cancel} ${attempts} ${crashes} ${losses} ${owned} ${Object.values(plain).join()}`;
  if (moves.has(key)) return;
  const holder = before.holder === null ? null : 'holder';
  const bundle = before.bundle === null ? null : { id: 1, worker: 'holder' };
  moves.set(key, { before: { ...before, lease: 5, holder, bundle }, action: plain });
}
