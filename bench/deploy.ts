import { freePort } from './free-port.ts';
import { inTurns, median, progress, round3, type Measured } from './measure.ts';
import { RunningSlipway, startToHealthy, type Repository } from './slipway/running.ts';

/**
 * What Slipway adds to an app's own time: from `git push` until the router answers with the new release, from asking for a rollback until it answers with
 * the old one, and from the first request to a sleeping preview until its answer; each less the app's own check and start, measured in the same run.
 */
const ROUNDS = 15;
const SLEEP_SECONDS = 1;

const web = `
const http = require('node:http');
const text = require('node:fs').readFileSync('text.txt', 'utf8').trim();
http.createServer((request, response) => response.end(request.url === '/healthz' ? 'ok' : text)).listen(process.env.PORT, '127.0.0.1');
`;
const yaml = `app: shop
services:
  web:
    run: exec node web.js
    health: /healthz
checks:
  test: { run: "true" }
environments:
  staging: { branch: main }
  preview: { pull-requests: true, sleep: ${SLEEP_SECONDS}s }
`;

export default async function deploy(): Promise<Measured> {
  const slipway = await RunningSlipway.start();
  try {
    const repository = await slipway.repository('shop', {
      'slipway.yaml': yaml,
      'web.js': web,
      'text.txt': 'release 0',
    });
    await repository.push();
    await slipway.secondsUntil('staging.shop.localhost', (body) => body === 'release 0');
    await repository.git('checkout', '-q', '-b', 'preview');
    await repository.commit({ 'text.txt': 'preview' }, 'Preview');
    await repository.push('preview');
    await slipway.secondsUntil('pr-1.shop.localhost', (body) => body === 'preview');
    await repository.git('checkout', '-q', 'main');

    let round = 0;
    const ownPort = await freePort();
    const values = await inTurns(ROUNDS, {
      push: () => pushToReady(slipway, repository, (round += 1)),
      rollback: () => rollback(slipway, round),
      wake: () => wake(slipway),
      app: () => startToHealthy(repository.folder, ['node', 'web.js'], ownPort),
      check: () => checkSeconds(slipway),
    });
    const own = { app: median(values.app), check: median(values.check) };
    progress(`the app's own start ${round3(own.app)} s, its check ${round3(own.check)} s`);
    return {
      figures: {
        push_to_ready_overhead_s: round3(median(values.push) - own.app - own.check),
        rollback_overhead_s: round3(median(values.rollback) - own.app),
        wake_overhead_s: round3(median(values.wake) - own.app),
      },
      peers: {
        push_to_ready_s: round3(median(values.push)),
        rollback_s: round3(median(values.rollback)),
        wake_s: round3(median(values.wake)),
        app_start_s: round3(own.app),
        app_check_s: round3(own.check),
      },
    };
  } finally {
    await slipway.stop();
  }
}

async function pushToReady(slipway: RunningSlipway, repository: Repository, round: number): Promise<number> {
  await repository.commit({ 'text.txt': `release ${round}` }, `Round ${round}`);
  const since = performance.now();
  const pushed = repository.push();
  const seconds = await slipway.secondsUntil('staging.shop.localhost', (body) => body === `release ${round}`, since);
  await pushed;
  await slipway.until('shop', 'staging', ({ state }) => state === 'ready');
  return seconds;
}

/** Back to the release before. The next push is a newer commit, which ends the hold. */
async function rollback(slipway: RunningSlipway, round: number): Promise<number> {
  const { releases } = await slipway.api<{ releases: { number: number; current: boolean }[] }>(
    'GET',
    '/apps/shop/releases?environment=staging&limit=2',
  );
  const to = releases.find(({ current }) => !current)?.number;
  const since = performance.now();
  await slipway.api('POST', '/apps/shop/environments/staging/rollback', { to });
  const seconds = await slipway.secondsUntil('staging.shop.localhost', (body) => body !== `release ${round}`, since);
  await slipway.until('shop', 'staging', ({ state }) => state === 'ready');
  return seconds;
}

async function wake(slipway: RunningSlipway): Promise<number> {
  await slipway.until('shop', 'pr-1', ({ state }) => state === 'asleep');
  return await slipway.secondsUntil('pr-1.shop.localhost', (body) => body === 'preview');
}

async function checkSeconds(slipway: RunningSlipway): Promise<number> {
  const { events } = await slipway.api<{ events: { kind: string; data: { seconds?: number } }[] }>(
    'GET',
    '/events?app=shop&limit=200',
  );
  return events.findLast(({ kind }) => kind === 'check.passed')?.data.seconds ?? 0;
}
