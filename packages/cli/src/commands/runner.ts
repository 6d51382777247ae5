import type { Command } from 'commander';

export function define(command: Command): void {
  command
    .addHelpText(
      'after',
      '\nStarted by the agent beside the services, with SLIPWAY_RUNNER and the address of its queue. Runs until SIGTERM.',
    )
    .action(async () => {
      // It is a program of its own: it takes the signals, and ends this process.
      await import('@slipway/queue/runner');
    });
}
