import { SlipwayError } from '@slipway/app/errors';
import type { Command } from 'commander';
import type { ApiJobResult, ApiLogLine } from '../api.ts';
import { connect } from '../client.ts';
import { contextOf } from '../context.ts';
import { environmentPath, environmentTarget } from '../target.ts';

export function define(command: Command): void {
  command
    .argument('<environment>', 'APP/ENV')
    .argument('<job>', 'name of the job in slipway.yaml')
    .action(async (what: string, job: string) => {
      const context = contextOf(command);
      const path = `${environmentPath(environmentTarget(what))}/jobs/${encodeURIComponent(job)}/run`;
      const client = await connect(context);
      let result: ApiJobResult | null = null;
      for await (const part of client.lines<{ log?: ApiLogLine; result?: ApiJobResult }>('POST', path)) {
        if (part.log !== undefined)
          (part.log.stream === 'stderr' ? process.stderr : process.stdout).write(
            context.json ? '' : `${part.log.line}\n`,
          );
        result = part.result ?? result;
      }
      if (result === null) {
        throw new SlipwayError('transient', `the connection ended before job ${job} did; it goes on`, {
          hint: `Its output: slipway logs ${what} ${job}`,
        });
      }
      context.print(result, '');
      if (result.outcome === 'succeeded') return;
      process.exitCode = 1;
      if (!context.json)
        process.stderr.write(
          result.exitCode === null
            ? `slipway: job ${job} failed. ${result.reason ?? 'No reason was given.'}\n`
            : `slipway: job ${job} failed with exit code ${result.exitCode}.\n`,
        );
    });
}
