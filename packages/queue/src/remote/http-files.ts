import { randomUUID } from 'node:crypto';
import { ApiError } from './api-error.ts';
import type { RemoteWorker } from './broker.ts';
import type { Api } from './api-call.ts';

/**
 * Who may have which object. Keys of input files carry the scope; those of output files the task, whose kind is asked for.
 *
 * | key | may be read by | may be written by |
 * | --- | --- | --- |
 * | `input/SCOPE…`               | its scope | its scope, once: the key is new |
 * | `output/TASK/ATTEMPT-LEASE/…` | the scope of the task, when it is done with this file | the worker that holds the task with this lease |
 * | `payload/…`                  | the worker that holds a task with this payload | |
 */

export function inputKey({ scope }: Api, name: string): string {
  return `input/${scope}${randomUUID()}/${name}`;
}

export function isInputOf({ scope }: Api, key: string): boolean {
  return key.startsWith(`input/${scope}`) && !key.split('/').includes('..');
}

/** @throws {ApiError} 404 */
export function assertInput(api: Api, key: string): void {
  if (!isInputOf(api, key)) throw noFile(key);
}

/** @throws {ApiError} 404: also for what an attempt left that did not finish its task. */
export async function assertOutputOfDone(api: Api, key: string): Promise<void> {
  const taskId = outputOf(key)?.taskId;
  const task = taskId === undefined ? null : await api.broker.viewTask(api.scope, taskId);
  if (task?.state !== 'done' || !filesOf(task.output).includes(key)) throw noFile(key);
}

/** @throws {ApiError} 409 when the worker does not hold the task with this lease (any more). */
export async function assertOutputOfHeld(api: Api, worker: RemoteWorker, key: string): Promise<void> {
  const output = outputOf(key);
  if (output === null) throw noFile(key);
  const { taskId, attempt, lease } = output;
  const task = await api.broker.heldBy(worker, taskId);
  if (task?.lease === lease && String(task.attempts) === attempt) return;
  throw new ApiError(409, `This worker does not hold task ${taskId} with lease ${lease}.`, 'Stop working on it.');
}

/** @throws {ApiError} 404 */
export async function assertReadable(api: Api, worker: RemoteWorker, key: string): Promise<void> {
  if (isInputOf(api, key)) return;
  if (key.startsWith('payload/') && (await api.broker.holdsPayload(worker, key))) return;
  throw noFile(key);
}

export function noFile(key: string): ApiError {
  return new ApiError(404, `There is no file ${key} here.`, 'Files of a task can be read when it is done.');
}

function outputOf(key: string): { taskId: string; attempt: string; lease: string } | null {
  const [, taskId, attempt, lease] = /^output\/(\d{1,18})\/(\d+)-(\d+)\/./.exec(key) ?? [];
  return taskId === undefined || attempt === undefined || lease === undefined ? null : { taskId, attempt, lease };
}

function filesOf(output: unknown): string[] {
  if (typeof output !== 'object' || output === null || !('files' in output) || !Array.isArray(output.files)) return [];
  return output.files.map((file: { key?: unknown }) => String(file.key));
}
