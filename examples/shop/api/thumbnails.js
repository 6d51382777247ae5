/** Where the queues of this environment are, and what opens them: Slipway sets both. */
const { SLIPWAY_QUEUE_URL: url, SLIPWAY_QUEUE_TOKEN: token } = process.env;

/** Whether there is a worker to ask: not without Slipway. */
export const available = url !== undefined;

async function ask(path, request = {}) {
  return await fetch(`${url}${path}`, {
    ...request,
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    signal: AbortSignal.timeout(5000),
  });
}

/** Asks the worker for the thumbnail of a product. @returns the id of the task. */
export async function request(product) {
  // While a task with this name waits, asking again finds it instead of adding another.
  const response = await ask('/tasks/thumbnails', {
    method: 'POST',
    body: JSON.stringify({ payload: { product }, unique: product }),
  });
  if (!response.ok) throw new Error(`the queue answered ${response.status}`);
  const { ids } = await response.json();
  return ids[0];
}

/** @returns how a task stands, with the picture once it is done; null: there is no such task. */
export async function look(id) {
  const response = await ask(`/tasks/${encodeURIComponent(id)}`);
  if (response.status === 404) return null;
  if (!response.ok) throw new Error(`the queue answered ${response.status}`);
  const { state, output, error } = await response.json();
  const file = output?.files.find(({ name }) => name.endsWith('.svg'));
  const svg = state === 'done' && file ? await (await ask(`/files/${file.key}`)).text() : null;
  return { state, error, svg };
}
