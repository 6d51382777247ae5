import { readFileSync } from 'node:fs';
const what = process.argv[2];
if (what === 'pg') await import('@slipway/postgres');
if (what === 'commander') await import('commander');
if (what === 'all') {
  await import('commander');
  await import('./up/supervise.ts');
}
if (what === 'agent') {
  await import('../../machine/src/agent/agent.ts');
}
await new Promise((r) => setTimeout(r, 300));
if (typeof gc === 'function') gc();
const r = readFileSync('/proc/self/smaps_rollup', 'utf8');
console.log(what, Math.round(performance.now()), r.match(/^(Rss|Pss|Pss_Anon|Private_Dirty):.*/gm)?.join(' '));
