import type { Command } from 'commander';
import type { ApiApp, ApiEnvironment } from '../api.ts';
import { connect } from '../client.ts';
import { contextOf } from '../context.ts';
import { environmentName, readyText, releaseText, shortCommit, stateText, timeText } from '../describe.ts';
import { facts, table } from '../table.ts';
import { appOrEnvironment, pathOf } from '../target.ts';

export function define(command: Command): void {
  command
    .argument('[what]', 'APP or APP/ENV; everything when left out')
    .addHelpText('after', '\nExamples:\n  slipway status\n  slipway status shop/staging --json')
    .action(async (what: string | undefined) => {
      const context = contextOf(command);
      const client = await connect(context);
      if (what === undefined) {
        const answer = await client.get<{ apps: ApiApp[] }>('/api/apps');
        context.print(answer, allApps(answer.apps, client.url));
        return;
      }
      const target = appOrEnvironment(what);
      if (target.environment === null) {
        const app = await client.get<ApiApp>(pathOf(target));
        context.print(app, `${app.app}  ${app.cloneUrl}\n\n${environmentTable([app])}`);
        return;
      }
      const environment = await client.get<ApiEnvironment>(pathOf(target));
      context.print(environment, oneEnvironment(environment));
    });
}

function allApps(apps: ApiApp[], url: string): string {
  if (apps.length > 0) return environmentTable(apps);
  return `No apps yet. Push one: git push ${url}/git/APP.git main   (slipway init writes its slipway.yaml)`;
}

function environmentTable(apps: ApiApp[]): string {
  const rows = apps.flatMap(({ app, environments }) =>
    environments.length === 0
      ? [[app, '-', '', '', '', '']]
      : environments.map((environment) => [
          app,
          environmentName(environment),
          stateText(environment.state),
          releaseText(environment.release),
          readyText([...environment.services, ...environment.workers]),
          environment.reason ?? environment.url ?? '',
        ]),
  );
  return table(['APP', 'ENVIRONMENT', 'STATE', 'RELEASE', 'READY', 'WHERE OR WHY'], rows);
}

function oneEnvironment(environment: ApiEnvironment): string {
  const rollout = environment.rollout;
  const moving = rollout !== null && (rollout.state === 'waiting' || rollout.state === 'running');
  const top = facts([
    ['environment', `${environment.app}/${environmentName(environment)}`],
    ['state', stateText(environment.state)],
    ['reason', environment.reason],
    ['release', releaseText(environment.release)],
    ['url', environment.url],
    ['rollout', moving ? `${rollout.id}: ${rollout.step}` : null],
    [
      'held',
      environment.heldSince === null
        ? null
        : `automatic deploys wait for a commit newer than ${shortCommit(environment.heldSince)}`,
    ],
    ['expires', environment.expiresAt === null ? null : timeText(environment.expiresAt)],
  ]);
  const rows = [
    ...environment.services.map((part) => ['service', part.name, readyText([part]), part.url ?? '']),
    ...environment.workers.map((part) => ['worker', part.name, readyText([part]), '']),
  ];
  return rows.length === 0 ? top : `${top}\n\n${table(['KIND', 'NAME', 'READY', 'URL'], rows)}`;
}
