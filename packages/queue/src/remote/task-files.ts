/** A file that an attempt gets: the object under `key`, as `name` in its input folder. */
export interface TaskFile {
  name: string;
  key: string;
}

/**
 * Puts the list of a task's files beside its payload, into what is stored as the payload. A payload that looks like the wrapping is
 * wrapped whether it has files or not, so that nobody's payload is taken for it.
 */
export function wrapFiles(payload: unknown, files: readonly TaskFile[]): unknown {
  const looksWrapped = typeof payload === 'object' && payload !== null && Object.hasOwn(payload, '$files');
  return files.length === 0 && !looksWrapped ? payload : { $files: files, payload };
}

export function unwrapFiles(stored: unknown): { payload: unknown; files: TaskFile[] } {
  if (typeof stored !== 'object' || stored === null || !Object.hasOwn(stored, '$files'))
    return { payload: stored, files: [] };
  const { $files: files, payload }: { $files?: unknown; payload?: unknown } = stored;
  if (!Array.isArray(files) || !files.every(isTaskFile)) return { payload: stored, files: [] };
  return { payload, files };
}

function isTaskFile(file: unknown): file is TaskFile {
  if (typeof file !== 'object' || file === null) return false;
  const { name, key } = { name: null, key: null, ...file };
  return typeof name === 'string' && typeof key === 'string';
}
