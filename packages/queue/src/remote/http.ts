import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import type { TaskOptions } from '../queue-options.ts';
import type { Api, Call, Route, TasksApiOptions } from './api-call.ts';
import { answerError, ApiError, isBug } from './api-error.ts';
import { answerFile, answerJson, bodyStream, readJson } from './http-body.ts';
import { assertInput, assertOutputOfDone, inputKey, isInputOf } from './http-files.ts';
import { nearest } from './nearest.ts';
import * as schemas from './schemas.ts';
import { wrapFiles } from './task-files.ts';
import { workerRoutes } from './http-workers.ts';

const routes: Route[] = [
  ...workerRoutes,
  { method: 'POST', path: /^\/tasks\/(\d{1,18})\/retry$/, answer: retry },
  { method: 'POST', path: /^\/tasks\/(.+)$/, answer: enqueue },
  { method: 'GET', path: /^\/tasks$/, answer: list },
  { method: 'GET', path: /^\/tasks\/(\d{1,18})$/, answer: show },
  { method: 'DELETE', path: /^\/tasks\/(\d{1,18})$/, answer: cancel },
  { method: 'PUT', path: /^\/files\/(.+)$/, answer: putFile },
  { method: 'GET', path: /^\/files\/(.+)$/, answer: getFile },
  { method: 'GET', path: /^\/counts$/, answer: counts },
];

/**
 * Tasks over HTTP: see docs/tasks-api.md. Use it under any prefix of any server of node:http, for requests whose sender has been authenticated; it
 * gives nothing away beyond `scope`, and never rejects.
 *
 * ```ts
 * const api = tasksApi({ queue, objects, scope: 'shop/production/', kindOf: (name) => kinds.get(name) ?? null });
 * createServer((request, response) => void api(request, response, request.url ?? '/'));
 * ```
 *
 * @throws {Error} for a scope that could cut a name in two.
 */
export function tasksApi(
  options: TasksApiOptions,
): (request: IncomingMessage, response: ServerResponse, path: string) => Promise<void> {
  const { scope, kindOf, kinds } = options;
  if (scope !== '' && !scope.endsWith('/')) throw new Error(`the scope '${scope}' of the tasks API has to end with /`);
  const objects = options.objects === null ? null : options.queue.own(options.objects);
  const api: Api = {
    ...options,
    broker: options.queue.broker(),
    kind: (name) => {
      const kind = name.startsWith(scope) ? kindOf(name) : null;
      if (kind !== null) return kind;
      const known = (kinds?.() ?? []).filter((other) => other.startsWith(scope));
      const close = nearest(name, known);
      const hint = close.length === 0 ? '' : `Did you mean ${close.map((one) => `'${one}'`).join(' or ')}?`;
      throw new ApiError(404, `There is no kind of task '${name}' here.`, hint || `Names begin with '${scope}'.`);
    },
    store: () => {
      if (objects !== null) return objects;
      throw new ApiError(404, 'There is no object store here, so tasks have no files.', 'Configure one.');
    },
  };
  return async function answerTasks(request, response, path) {
    try {
      await answer(api, request, response, path);
    } catch (error) {
      if (isBug(error)) options.onBug?.(error);
      answerError(response, error);
    }
  };
}

async function answer(api: Api, request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
  const [encoded = '', search = ''] = path.split('?', 2);
  const address = decoded(encoded);
  const matching = routes.filter((route) => route.path.test(address));
  const route = matching.find(({ method }) => method === request.method);
  if (route === undefined) {
    if (matching.length === 0) throw new ApiError(404, `There is no ${address} here.`, 'See docs/tasks-api.md.');
    const methods = matching.map(({ method }) => method).join(', ');
    throw new ApiError(405, `${address} does not take ${request.method}.`, `It takes ${methods}.`);
  }
  const parts = (route.path.exec(address) ?? []).slice(1);
  await route.answer({ api, request, response, parts, query: new URLSearchParams(search) });
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new ApiError(
      400,
      'The address has a % that is not followed by two hexadecimal digits.',
      'Encode it as UTF-8.',
    );
  }
}

async function enqueue({ api, request, response, parts: [name = ''] }: Call): Promise<void> {
  const kind = api.kind(name);
  const body = await readJson(request, schemas.newTasks.or(schemas.newTask));
  const tasks = 'tasks' in body ? body.tasks : [body];
  for (const { files = [] } of tasks) for (const file of files) assertInput(api, file.key);
  const ids = await api.queue.enqueueMany(
    { ...kind, payload: z.unknown() }, // checked here, because what is stored has the files around it
    tasks.map(({ files = [], payload, ...options }) => {
      const checked = kind.payload.safeParse(payload);
      if (!checked.success) throw checked.error;
      return { payload: wrapFiles(payload, files), ...given(options) };
    }),
  );
  answerJson(response, { ids }, 201);
}

/** Without what was left away. */
function given(options: { [K in keyof TaskOptions]: TaskOptions[K] | undefined }): TaskOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

async function list({ api, response, query }: Call): Promise<void> {
  const { kind, state, after, limit } = schemas.listQuery.parse(Object.fromEntries(query));
  if (kind !== undefined) api.kind(kind);
  const filter = { kind: kind ?? null, state: state ?? null, after, limit };
  answerJson(response, { tasks: await api.broker.viewTasks(api.scope, filter) });
}

async function show({ api, response, parts: [id = ''] }: Call): Promise<void> {
  answerJson(response, await taskIn(api, id));
}

async function cancel({ api, response, parts: [id = ''] }: Call): Promise<void> {
  const task = await taskIn(api, id);
  if (await api.queue.cancel(id)) return answerJson(response, { cancelled: id });
  throw new ApiError(409, `Task ${id} has ended (${task.state}).`, 'There is nothing to cancel any more.');
}

async function retry({ api, response, parts: [id = ''] }: Call): Promise<void> {
  const task = await taskIn(api, id);
  if (await api.queue.redrive(id)) return answerJson(response, { retried: id });
  throw new ApiError(409, `Task ${id} is ${task.state}.`, 'Only a dead task can be tried again by hand.');
}

async function taskIn(api: Api, id: string) {
  const task = await api.broker.viewTask(api.scope, id);
  if (task !== null) return task;
  throw new ApiError(
    404,
    `There is no task ${id}.`,
    'It may be done: a task that is done is kept as long as its kind says.',
  );
}

async function putFile({ api, request, response, parts: [name = ''] }: Call): Promise<void> {
  answerJson(response, await api.store().put(inputKey(api, name), bodyStream(request)), 201);
}

async function getFile({ api, response, parts: [key = ''] }: Call): Promise<void> {
  const store = api.store();
  if (!isInputOf(api, key)) await assertOutputOfDone(api, key);
  const content = await store.get(key);
  if (content === null) throw new ApiError(404, `There is no file ${key}.`, 'It was deleted.');
  await answerFile(response, content);
}

async function counts({ api, response }: Call): Promise<void> {
  const all = await api.queue.counts();
  const own = Object.entries(all).filter(([kind]) => kind.startsWith(api.scope));
  answerJson(response, { counts: Object.fromEntries(own) });
}
