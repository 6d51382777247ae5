import { SlipwayError } from '@slipway/app/errors';
import type { Command } from 'commander';
import { contextOf } from '../context.ts';
import { startProgress } from '../progress.ts';
import { stopHome } from '../up/stop-home.ts';

export function define(command: Command): void {
  command.action(async () => {
    const context = contextOf(command);
    const progress = startProgress(context.json);
    progress.now('stopping apps, the control plane and PostgreSQL');
    const found = await stopHome(context.home, context.entry).finally(() => progress.end());
    if (found === 'still-running') {
      throw new SlipwayError('transient', `what runs on ${context.home} did not stop within a minute`, {
        hint: 'Apps may take long to end (their `stop` in slipway.yaml). Look at its terminal or logs/up.log, then run slipway down again.',
      });
    }
    context.print(
      { stopped: found === 'stopped' },
      found === 'stopped' ? 'Stopped; the state is kept.' : 'Nothing runs.',
    );
  });
}
