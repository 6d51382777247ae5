import type { Command } from 'commander';

/** One command: what the general help says of it, and where the rest is. */
export interface CatalogueEntry {
  name: string;
  summary: string;
  usage: string;
  /** Slipway's own use; not shown in the help. */
  hidden?: true;
  /** Its file adds arguments, options and what it does. */
  load: () => Promise<{ define: (command: Command) => void }>;
}

/** Every command, in the order of the help. */
export const catalogue: CatalogueEntry[] = [
  {
    name: 'up',
    summary: 'run Slipway on this machine, until Ctrl-C',
    usage: '[--example] [--detach] [options]',
    load: () => import('./commands/up.ts'),
  },
  { name: 'down', summary: 'stop what `up` runs', usage: '[options]', load: () => import('./commands/down.ts') },
  {
    name: 'init',
    summary: 'look at this repository and write a slipway.yaml for it',
    usage: '[FOLDER] [--force]',
    load: () => import('./commands/init.ts'),
  },
  {
    name: 'status',
    summary: 'what runs where, and how it is',
    usage: '[APP[/ENV]]',
    load: () => import('./commands/status.ts'),
  },
  {
    name: 'releases',
    summary: 'releases of an app, newest first',
    usage: 'APP[/ENV] [--limit N]',
    load: () => import('./commands/releases.ts'),
  },
  {
    name: 'events',
    summary: 'what happened',
    usage: '[APP[/ENV]] [-f] [--limit N]',
    load: () => import('./commands/events.ts'),
  },
  {
    name: 'logs',
    summary: 'what services, workers and jobs wrote',
    usage: 'APP/ENV [SERVICE] [-f] [--lines N]',
    load: () => import('./commands/logs.ts'),
  },
  {
    name: 'why',
    summary: 'explain a state: what happened, what is awaited, what would unblock it',
    usage: 'APP | APP/ENV | COMMIT | ROLLOUT',
    load: () => import('./commands/why.ts'),
  },
  {
    name: 'deploy',
    summary: 'bring a commit into an environment',
    usage: 'APP/ENV --commit SHA [--no-wait]',
    load: () => import('./commands/deploy.ts'),
  },
  {
    name: 'promote',
    summary: 'bring into an environment what runs in the one before it',
    usage: 'APP/ENV [--no-wait]',
    load: () => import('./commands/promote.ts'),
  },
  {
    name: 'rollback',
    summary: 'bring an earlier release back, with its config',
    usage: 'APP/ENV [--to N] [--no-wait]',
    load: () => import('./commands/rollback.ts'),
  },
  {
    name: 'approve',
    summary: 'let a rollout go on that waits for a person',
    usage: 'ROLLOUT [--no-wait]',
    load: () => import('./commands/approve.ts'),
  },
  {
    name: 'run',
    summary: 'run a job of the app now',
    usage: 'APP/ENV JOB',
    load: () => import('./commands/run.ts'),
  },
  {
    name: 'exec',
    summary: 'run a command beside a service',
    usage: 'APP/ENV [SERVICE] -- COMMAND...',
    load: () => import('./commands/exec.ts'),
  },
  {
    name: 'queue',
    summary: 'queues of workers: how full, what failed, what size',
    usage: 'list|show|tail|dead|retry|cancel|size [QUEUE]',
    load: () => import('./commands/queue.ts'),
  },
  {
    name: 'open',
    summary: 'open an environment, or the dashboard, in the browser',
    usage: '[APP/ENV]',
    load: () => import('./commands/open.ts'),
  },
  {
    name: 'remove',
    summary: 'stop and delete an environment',
    usage: 'APP/ENV [--confirm NAME]',
    load: () => import('./commands/remove.ts'),
  },
  {
    name: 'diff',
    summary: 'what deploying a commit would change in the cluster, or what somebody changed by hand',
    usage: 'APP/ENV [--commit SHA]',
    load: () => import('./commands/diff.ts'),
  },
  {
    name: 'protect',
    summary: 'try whether the cluster refuses to delete a protected environment',
    usage: 'APP/ENV',
    load: () => import('./commands/protect.ts'),
  },
  {
    name: 'cluster',
    summary: 'Kubernetes clusters on which environments may run',
    usage: 'add NAME [--kubeconfig FILE] [options] | list | remove NAME',
    load: () => import('./commands/cluster.ts'),
  },
  {
    name: 'token',
    summary: 'create, list and revoke access tokens',
    usage: 'create NAME --role ROLE | list | revoke ID',
    load: () => import('./commands/token.ts'),
  },
  {
    name: 'login',
    summary: 'use the Slipway at another address',
    usage: 'URL [--token TOKEN]',
    load: () => import('./commands/login.ts'),
  },
  {
    name: 'logout',
    summary: 'forget the address and token of `login`',
    usage: '[options]',
    load: () => import('./commands/logout.ts'),
  },
  {
    name: 'render',
    summary: 'print an environment of this checkout as Kubernetes objects',
    usage: 'APP/ENV [--no-resolve] [options]',
    load: () => import('./commands/render.ts'),
  },
  {
    name: 'install',
    summary: 'print or apply what runs Slipway on a Kubernetes cluster',
    usage: '--image IMAGE [--apply] [options]',
    load: () => import('./commands/install.ts'),
  },
  {
    name: 'schema',
    summary: 'print the JSON Schema of slipway.yaml',
    usage: '[options]',
    load: () => import('./commands/schema.ts'),
  },
  {
    name: 'server',
    summary: 'run the control plane alone',
    usage: '[options]',
    load: () => import('./commands/server.ts'),
  },
  {
    name: 'worker',
    summary: 'run only the queue workers of a control plane',
    usage: '[options]',
    load: () => import('./commands/worker.ts'),
  },
  {
    name: 'agent',
    summary: 'run the machine engine alone: supervisor and router',
    usage: '[options]',
    load: () => import('./commands/agent.ts'),
  },
  {
    name: 'postgres',
    summary: 'run the PostgreSQL of a control plane alone',
    usage: '[options]',
    load: () => import('./commands/postgres.ts'),
  },
  {
    name: 'runner',
    summary: 'work on the tasks of one queue with the command of its worker',
    usage: '[options]',
    hidden: true,
    load: () => import('./commands/runner.ts'),
  },
  {
    name: 'credential',
    summary: 'answer git as a credential helper',
    usage: 'get',
    hidden: true,
    load: () => import('./commands/credential.ts'),
  },
  {
    name: 'example',
    summary: 'push the bundled example app',
    usage: '[options]',
    hidden: true,
    load: () => import('./commands/example.ts'),
  },
];
