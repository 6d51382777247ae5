/** What a node has for pods, and what is asked for already. */
export interface NodeRoom {
  name: string;
  /** `closed`: it takes no new pods. */
  scheduling: 'open' | 'closed';
  /** Free cores, of what may be requested. */
  cpu: number;
  /** Free bytes. */
  memory: number;
}

/**
 * Why no node takes a pod, in the scheduler's words, and what would fit.
 *
 * @param told Such as `0/2 nodes are available: 2 Insufficient memory. preemption: ...`.
 */
export function explainUnschedulable(told: string, nodes: readonly NodeRoom[]): string {
  const reason = told.replace(/\.?\s*preemption:.*$/s, '').replace(/,? ?no new claims.*$/s, '');
  const open = nodes.filter(({ scheduling }) => scheduling === 'open');
  const [largest] = [...open].sort((a, b) => b.memory - a.memory || b.cpu - a.cpu);
  const room =
    largest === undefined
      ? ''
      : ` The most room is on ${largest.name}: ${cores(largest.cpu)} and ${mebibytes(largest.memory)} are free.`;
  return `No node has room for it: ${reason}.${room} Lower its size, or add a node.`;
}

function cores(cpu: number): string {
  const rounded = Math.floor(cpu * 100) / 100;
  return `${rounded} ${rounded === 1 ? 'core' : 'cores'}`;
}

function mebibytes(bytes: number): string {
  return `${Math.floor(bytes / 2 ** 20)} MiB of memory`;
}
