import { canonical } from './lease-canonical-under-test.ts';
import type { Bug } from './lease-change-under-test.ts';
import type { LeaseAction, LeasedTask } from './lease-machine.ts';
import { stepsFrom } from './lease-steps-under-test.ts';
import { firstWorld, isOver, type World } from './lease-world-under-test.ts';

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

/** Visits every state of the world. */
export function explore(faults: number, bug: Bug, tasks: 1 | 2 = 2): Exploration {
  const first = firstWorld(faults, tasks);
  const numbers = new Map([[canonical(first), 0]]);
  const worlds: (World | null)[] = [first];
  const over: number[] = [];
  const smooth: number[] = []; // pairs of numbers: from, to
  const moves: Exploration['moves'] = new Map();
  let steps = 0;
  for (let number = 0; number < worlds.length; number++) {
    const world = worlds[number];
    if (!world) continue;
    if (isOver(world)) over.push(number);
    for (const step of stepsFrom(world, bug)) {
      steps += 1;
      for (const { before, action } of step.moved) {
        const one = plainMove(before, action);
        moves.set(JSON.stringify(one), one);
      }
      if (step.broken !== null)
        return { states: numbers.size, steps, broken: `${step.broken}: ${step.name}`, stuck: null, moves };
      const name = canonical(step.world);
      let next = numbers.get(name);
      if (next === undefined) {
        next = worlds.push(step.world) - 1;
        numbers.set(name, next);
      }
      if (step.weather === 'smooth') smooth.push(number, next);
    }
    worlds[number] = null; // half a million of them is a lot of memory
  }
  const stuck = unreachable(numbers.size, over, smooth);
  return { states: numbers.size, steps, broken: null, stuck: [...numbers.keys()][stuck] ?? null, moves };
}

/** The first state that does not lead to any of the ends; -1: all do. */
function unreachable(states: number, ends: readonly number[], steps: readonly number[]): number {
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

/** Without names and absolute numbers: which lease it names matters only as this one or an older one. */
function plainMove(before: LeasedTask, action: LeaseAction): { before: LeasedTask; action: LeaseAction } {
  const task = { ...before, lease: 5, holder: before.holder === null ? null : 'holder' };
  const holder = (name: string) => (name === before.holder ? 'holder' : 'other');
  if ('lease' in action) return { before: task, action: { ...action, lease: action.lease === before.lease ? 5 : 4 } };
  if ('worker' in action) return { before: task, action: { ...action, worker: holder(action.worker) } };
  if (action.do === 'rescue') return { before: task, action: { ...action, gone: action.gone.map(holder).slice(0, 1) } };
  return { before: task, action };
}
