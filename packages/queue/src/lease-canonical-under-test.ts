import { FINISHED, theOne, type World } from './lease-world-under-test.ts';

/** The same text for worlds that differ in nothing but names: of workers, of tasks, and of leases, of which only the order counts. */
export function canonical(world: World): string {
  // In an order that does not depend on the names; where that leaves a choice, the least text of all choices.
  const tasks = orders(
    world.tasks.map((task, t) => `${task.place}${task.lane}${task.cancel}${world.told[t]}${world.escalated[t]}`),
  );
  let least: string | null = null;
  for (const order of tasks) {
    const looks = world.workers.map(
      ({ claim, doubt, holds }) =>
        `${claim?.step}${doubt}${order.map((t) => `${holds[t]?.end}${holds[t]?.step}`).join()}`,
    );
    for (const workers of orders(looks)) {
      const one = text(world, workers, order);
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

function text(world: World, workers: number[], tasks: number[]): string {
  const ids = new Map<string, number>();
  const id = (name: string | null): string => {
    if (name === null) return '-';
    if (!ids.has(name)) ids.set(name, ids.size);
    return `${ids.get(name)}${(world.rows[name] ?? 'none')[0]}`;
  };
  for (const w of workers) id(theOne(world.workers[w]).id);
  const ranks = tasks.map((t) => leaseRanks(world, t));
  const rank = (t: number, lease: number): number => ranks[tasks.indexOf(t)]?.indexOf(lease) ?? -1;
  const parts: unknown[] = [world.faults];
  for (const t of tasks) {
    const task = theOne(world.tasks[t]);
    const { place, lane, cancel, crashes, losses } = task;
    const live = !FINISHED.has(place);
    parts.push(
      place,
      lane[0],
      cancel[0],
      live ? Math.min(crashes + losses, 2) : 0,
      rank(t, task.lease),
      id(task.holder),
      world.told[t],
      world.escalated[t],
    );
  }
  for (const w of workers) {
    const { claim, doubt, holds } = theOne(world.workers[w]);
    parts.push(doubt[0]);
    if (claim === null) parts.push('.');
    else if (claim.step === 'sent') parts.push('s', id(claim.id), claim.saw);
    else
      parts.push(
        'a',
        id(claim.id),
        claim.task === null ? '-' : tasks.indexOf(claim.task),
        claim.task === null ? '' : rank(claim.task, claim.lease),
      );
    for (const t of tasks) {
      const hold = holds[t];
      if (hold === null || hold === undefined) parts.push('.');
      else
        parts.push(
          rank(t, hold.lease),
          id(hold.id),
          hold.lane[0],
          hold.end,
          hold.step,
          hold.certainty[0],
          doubt === 'suspects' && hold.suspect,
        );
    }
  }
  const stale = world.stale.map((word) =>
    word.what === 'claim'
      ? `c${id(word.id)}${word.saw}`
      : `e${tasks.indexOf(word.task)} ${rank(word.task, word.lease)} ${word.end}`,
  );
  parts.push(...stale.sort());
  // Rows that nothing else names.
  const rest = Object.keys(world.rows).filter((name) => !ids.has(name));
  parts.push(...rest.map((name) => world.rows[name] ?? '').sort());
  return parts.join();
}

function leaseRanks(world: World, t: number): number[] {
  const leases = new Set<number>([theOne(world.tasks[t]).lease]);
  for (const { claim, holds } of world.workers) {
    if (claim?.step === 'answered' && claim.task === t) leases.add(claim.lease);
    const hold = holds[t];
    if (hold) leases.add(hold.lease);
  }
  for (const word of world.stale) if (word.what === 'end' && word.task === t) leases.add(word.lease);
  return [...leases].toSorted((a, b) => a - b);
}
