import { z } from 'zod';
import type { Outcome } from '../outcome.ts';
import { ApiError } from './api-error.ts';
import type { RemoteWorker } from './broker.ts';
import type { Call, Route } from './api-call.ts';
import { assertOutputOfHeld, assertReadable, noFile } from './http-files.ts';
import { answerFile, answerJson, bodyStream, readJson } from './http-body.ts';
import * as schemas from './schemas.ts';

/** What a worker asks: see {@link Broker}. */
export const workerRoutes: Route[] = [
  { method: 'POST', path: /^\/workers$/, answer: register },
  { method: 'POST', path: /^\/workers\/([^/]+)\/claim$/, answer: claim },
  { method: 'POST', path: /^\/workers\/([^/]+)\/beat$/, answer: beat },
  { method: 'POST', path: /^\/workers\/([^/]+)\/settle$/, answer: settle },
  { method: 'POST', path: /^\/workers\/([^/]+)\/unclaim$/, answer: unclaim },
  { method: 'POST', path: /^\/workers\/([^/]+)\/progress$/, answer: progress },
  { method: 'POST', path: /^\/workers\/([^/]+)\/leave$/, answer: leave },
  { method: 'PUT', path: /^\/workers\/([^/]+)\/files\/(.+)$/, answer: putOutput },
  { method: 'GET', path: /^\/workers\/([^/]+)\/files\/(.+)$/, answer: getInput },
];

/** Its id is the worker's secret; the scope is what its token allows. */
async function workerOf({ api, parts: [id = ''] }: Call): Promise<RemoteWorker> {
  if (!z.uuid().safeParse(id).success) throw new ApiError(404, `There is no worker '${id}'.`, 'POST /workers first.');
  await api.broker.start();
  return { id, scope: api.scope };
}

async function register({ api, request, response }: Call): Promise<void> {
  const { name } = await readJson(request, schemas.registerBody);
  await api.broker.start();
  answerJson(response, await api.broker.register(name === undefined ? null : `${api.scope}${name}`), 201);
}

async function claim(call: Call): Promise<void> {
  const { api, request, response } = call;
  const worker = await workerOf(call);
  const { wanted, ...options } = await readJson(request, schemas.claimBody);
  const full = wanted.map(({ kind: name, lane, limit, lastChance }) => {
    const { keyConcurrency, rate, keyRate } = api.kind(name);
    return { kind: name, lane, limit, lastChance, keyConcurrency, rate, keyRate };
  });
  const left = new AbortController();
  response.on('close', () => left.abort());
  const { tasks, cancelled } = await api.broker.claim(worker, full, { ...options, signal: left.signal });
  answerJson(response, { tasks, cancelled, slotNews: api.broker.slotNews });
}

async function beat(call: Call): Promise<void> {
  const worker = await workerOf(call);
  const { running, lanes } = await readJson(call.request, schemas.beatBody);
  answerJson(call.response, await call.api.broker.beat(worker, running, lanes));
}

async function settle(call: Call): Promise<void> {
  const worker = await workerOf(call);
  const { ends } = await readJson(call.request, schemas.settleBody);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the schema says the same; only that a result may be missing it says as "unknown"
  const typed = ends.map((end) => ({ ...end, outcome: end.outcome as Outcome }));
  answerJson(call.response, { settled: await call.api.broker.settle(worker, typed) });
}

async function unclaim(call: Call): Promise<void> {
  const worker = await workerOf(call);
  const { tasks } = await readJson(call.request, schemas.unclaimBody);
  await call.api.broker.unclaim(worker, tasks);
  answerJson(call.response, {});
}

async function progress(call: Call): Promise<void> {
  const worker = await workerOf(call);
  const { news } = await readJson(call.request, schemas.progressBody);
  await call.api.broker.progress(
    worker,
    news.map(({ id, lease, value = null }) => ({ id, lease, value })),
  );
  answerJson(call.response, {});
}

async function leave(call: Call): Promise<void> {
  await call.api.broker.leave(await workerOf(call));
  answerJson(call.response, {});
}

async function putOutput(call: Call): Promise<void> {
  const worker = await workerOf(call);
  const store = call.api.store();
  const key = call.parts[1] ?? '';
  await assertOutputOfHeld(call.api, worker, key);
  answerJson(call.response, await store.put(key, bodyStream(call.request)), 201);
}

async function getInput(call: Call): Promise<void> {
  const worker = await workerOf(call);
  const key = call.parts[1] ?? '';
  await assertReadable(call.api, worker, key);
  const content = await call.api.store().get(key);
  if (content === null) throw noFile(key);
  await answerFile(call.response, content);
}
