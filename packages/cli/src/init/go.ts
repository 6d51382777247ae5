import path from 'node:path';
import { toLabel } from '@slipway/app';
import { openFolder, shellWord } from './folder.ts';
import type { Folder } from './folder.ts';
import { found } from './proposal.ts';
import type { Found, ProposedProcess } from './proposal.ts';

/** Go: a main package at the root, or one command for each folder in `cmd`. */
export async function recogniseGo(folder: Folder): Promise<Found | null> {
  if (!folder.files.has('go.mod')) return null;
  const commands: { name: string; package: string }[] = [];
  if (await isMain(folder)) commands.push({ name: 'web', package: '.' });
  const cmd = folder.folders.includes('cmd') ? await openFolder(path.join(folder.path, 'cmd')) : null;
  for (const name of cmd?.folders ?? []) {
    if (await isMain(await openFolder(path.join(folder.path, 'cmd', name))))
      commands.push({ name, package: `./cmd/${name}` });
  }
  const services = commands.map(({ name }): ProposedProcess => ({
    name: toLabel(name) ?? 'web',
    run: `./bin/${shellWord(name)}`,
    comment: 'Has to listen on $PORT.',
  }));
  const builds = commands.map((command) => `go build -o bin/${shellWord(command.name)} ${shellWord(command.package)}`);
  const notes =
    commands.length > 1 ? ['Every command in cmd/ became a service: remove those that do not listen on $PORT.'] : [];
  return found('Go (go.mod)', {
    build: builds.length === 0 ? null : builds.join(' && '),
    services,
    // A check may write to its temporary folder only.
    test: 'GOCACHE=$TMPDIR/go-build go test ./...',
    notes,
  });
}

async function isMain(folder: Folder): Promise<boolean> {
  for (const file of folder.files) {
    if (file.endsWith('.go') && !file.endsWith('_test.go') && /^package main\b/m.test(await folder.read(file)))
      return true;
  }
  return false;
}
