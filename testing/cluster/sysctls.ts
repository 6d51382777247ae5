import { readFile, writeFile } from 'node:fs/promises';
import type { Releases } from './releases.ts';

/** What a kubelet sets for the whole machine. */
const SET_BY_KUBELET = [
  'vm/overcommit_memory',
  'vm/panic_on_oom',
  'kernel/panic',
  'kernel/panic_on_oops',
  'kernel/keys/root_maxkeys',
  'kernel/keys/root_maxbytes',
];

/**
 * Remembers them, in `file` too, to be restored after a run that was killed.
 *
 * @param others Such files of other clusters, which may be there or not: while one runs, the machine's own values are in it only.
 */
export async function keepSysctls(file: string, others: string[], releases: Releases): Promise<void> {
  const kept = await Promise.all(others.map((other) => readFile(other, 'utf8').catch(() => '')));
  const values = kept.find((text) => text !== '') ?? JSON.stringify(await readSysctls());
  await writeFile(file, values);
  releases.add('restore the sysctls that the kubelet has changed', () => restoreSysctls(file));
}

async function readSysctls(): Promise<Record<string, string>> {
  const values: Record<string, string> = {};
  for (const name of SET_BY_KUBELET) values[name] = (await readFile(`/proc/sys/${name}`, 'utf8')).trim();
  return values;
}

export async function restoreSysctls(file: string): Promise<void> {
  const values = JSON.parse(await readFile(file, 'utf8')) as Record<string, string>;
  for (const [name, value] of Object.entries(values)) {
    const now = (await readFile(`/proc/sys/${name}`, 'utf8')).trim();
    if (now !== value) await writeFile(`/proc/sys/${name}`, value);
  }
}
