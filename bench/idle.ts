import { readFile } from 'node:fs/promises';
import { progress, round3, type Measured } from './measure.ts';
import { execute, pause, RunningSlipway, type Repository } from './slipway/running.ts';

/**
 * What a Slipway costs that has nothing to do: memory as proportional set size (shared pages are shared out) and CPU of `up`, control plane, agent and
 * PostgreSQL, without the apps themselves; then again with 200 previews of which 190 sleep.
 */
const QUIET_SECONDS = 60;
const PREVIEWS = 200;
const AWAKE = 10;
const SLEEP_SECONDS = 120;

const web = `require('node:http').createServer((request, response) => response.end('ok')).listen(process.env.PORT, '127.0.0.1');`;
const yaml = `app: shop
services:
  web: { run: exec node web.js, size: { memory: 128Mi } }
environments:
  staging: { branch: main }
  preview: { pull-requests: true, sleep: ${SLEEP_SECONDS}s }
`;

export default async function idle(): Promise<Measured> {
  const slipway = await RunningSlipway.start();
  try {
    const repository = await slipway.repository('shop', { 'slipway.yaml': yaml, 'web.js': web });
    await repository.push();
    await slipway.until('shop', 'staging', ({ state }) => state === 'ready');
    const alone = await measureQuiet(slipway, 'one environment');
    await makePreviews(slipway, repository);
    const many = await measureQuiet(slipway, `${PREVIEWS} previews, ${PREVIEWS - AWAKE} of them asleep`);
    return {
      figures: {
        pss_mib: round3(alone.pss),
        cpu_percent: round3(alone.cpu),
        pss_mib_200_previews: round3(many.pss),
        cpu_percent_200_previews: round3(many.cpu),
      },
      peers: {
        pss_kib_per_sleeping_preview: round3(((many.pss - alone.pss) * 1024) / PREVIEWS),
      },
    };
  } finally {
    await slipway.stop();
  }
}

async function makePreviews(slipway: RunningSlipway, repository: Repository): Promise<void> {
  for (let number = 1; number <= PREVIEWS; number += 1) {
    await repository.git('checkout', '-q', '-b', `preview-${number}`, 'main');
    await repository.commit({ 'text.txt': String(number) }, `Preview ${number}`);
    await repository.push(`preview-${number}`);
    if (number % 20 === 0) progress(`${number} previews`);
  }
  progress('waiting until they sleep');
  for (let number = 1; number <= PREVIEWS; number += 1)
    await slipway.until('shop', `pr-${number}`, ({ state }) => state === 'asleep');
  for (let number = 1; number <= AWAKE; number += 1) await slipway.get(`pr-${number}.shop.localhost`);
}

async function measureQuiet(slipway: RunningSlipway, what: string): Promise<{ pss: number; cpu: number }> {
  // What a rollout left in the air (idle connections, timers) settles first.
  await pause(20_000);
  const pids = await slipway.processes();
  const ticksPerSecond = Number((await execute('getconf', ['CLK_TCK'])).trim());
  const before = await cpuTicks(pids);
  await pause(QUIET_SECONDS * 1000);
  const cpu = ((await cpuTicks(pids)) - before) / ticksPerSecond / QUIET_SECONDS;
  let pss = 0;
  for (const pid of pids) {
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '');
    pss += Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) / 1024;
  }
  progress(`${what}: ${pids.length} processes, ${round3(pss)} MiB, ${round3(cpu * 100)} % of a core`);
  return { pss, cpu: cpu * 100 };
}

async function cpuTicks(pids: number[]): Promise<number> {
  let ticks = 0;
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  }
  return ticks;
}
