import type { ApiQueue } from '../api/schemas.ts';

type Lane = ApiQueue['lanes'][number];

interface Metric {
  name: string;
  type: 'gauge' | 'counter';
  help: string;
  value: (lane: Lane) => number;
}

const counted: readonly (keyof Lane['counts'])[] = [
  'done',
  'errors',
  'ooms',
  'timeouts',
  'crashes',
  'lost',
  'interrupted',
  'escalated',
  'dead',
];

const metrics: readonly Metric[] = [
  { name: 'slipway_queue_ready', type: 'gauge', help: 'Tasks that may run now.', value: ({ ready }) => ready },
  {
    name: 'slipway_queue_scheduled',
    type: 'gauge',
    help: 'Tasks whose time has not come.',
    value: ({ scheduled }) => scheduled,
  },
  { name: 'slipway_queue_running', type: 'gauge', help: 'Tasks that run.', value: ({ running }) => running },
  {
    name: 'slipway_queue_desired_slots',
    type: 'gauge',
    help: 'Tasks that should run at once.',
    value: ({ slots }) => slots,
  },
  ...counted.map((what): Metric => ({
    name: `slipway_queue_${what}_total`,
    type: 'counter',
    help: `Attempts or tasks since the beginning: ${what}.`,
    value: ({ counts }) => counts[what],
  })),
];

/** The queues in the text format of Prometheus (version 0.0.4). */
export function writeMetrics(queues: readonly ApiQueue[]): string {
  const lines: string[] = [];
  for (const { name, type, help, value } of metrics) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const queue of queues)
      for (const lane of queue.lanes) lines.push(`${name}{${labels(queue)},lane="${lane.lane}"} ${value(lane)}`);
  }
  const oldest = 'slipway_queue_oldest_seconds';
  lines.push(`# HELP ${oldest} For how long the oldest ready task has waited.`, `# TYPE ${oldest} gauge`);
  for (const queue of queues) lines.push(`${oldest}{${labels(queue)}} ${queue.oldestSeconds ?? 0}`);
  return `${lines.join('\n')}\n`;
}

/** Names of apps, environments and workers are labels of DNS: nothing in them has to be escaped. */
function labels({ environment, name }: ApiQueue): string {
  return `queue="${environment}/${name}"`;
}
