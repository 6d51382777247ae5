import { toLabel } from '@slipway/app';
import type { Folder } from './folder.ts';
import { found } from './proposal.ts';
import type { Found } from './proposal.ts';

/** A Procfile says which processes there are; how they are built is up to the language beside it. */
export async function recogniseProcfile(folder: Folder): Promise<Found | null> {
  if (!folder.files.has('Procfile')) return null;
  const proposal = found('Procfile', {});
  for (const line of (await folder.read('Procfile')).split(/\r?\n/)) {
    const match = /^([A-Za-z0-9_-]+):\s*(\S.*)$/.exec(line.trim());
    if (!match) continue;
    const [, type = '', run = ''] = match;
    const process = {
      name: toLabel(type) ?? 'process',
      run: run.trim(),
      comment: `The line "${type}" of the Procfile.`,
    };
    if (type === 'web') proposal.services.push(process);
    else if (type === 'release') proposal.jobs.push(process);
    else proposal.workers.push(process);
  }
  if (proposal.workers.length > 0)
    proposal.notes.push('Workers get no port: a process of the Procfile that answers requests belongs to services.');
  return proposal;
}
