import { firstFile, shellWord } from './folder.ts';
import type { Folder } from './folder.ts';
import { found } from './proposal.ts';
import type { Found } from './proposal.ts';

const ENTRIES = ['server.js', 'server.mjs', 'index.js', 'index.mjs', 'app.js', 'main.js'];

/** What a `package.json` says; null when there is none or it is no JSON object. */
export interface PackageFile {
  name: string | null;
  main: string | null;
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  workspaces: string[];
}

export async function packageFile(folder: Folder): Promise<PackageFile | null> {
  if (!folder.files.has('package.json')) return null;
  let json: unknown;
  try {
    json = JSON.parse(await folder.read('package.json'));
  } catch {
    return null;
  }
  if (!isObject(json)) return null;
  const workspaces = isObject(json['workspaces']) ? json['workspaces']['packages'] : json['workspaces'];
  return {
    name: typeof json['name'] === 'string' ? json['name'] : null,
    main: typeof json['main'] === 'string' ? json['main'] : null,
    scripts: texts(json['scripts']),
    dependencies: texts(json['dependencies']),
    devDependencies: texts(json['devDependencies']),
    workspaces: Array.isArray(workspaces) ? workspaces.filter((glob) => typeof glob === 'string') : [],
  };
}

export type PackageManager = 'npm' | 'pnpm' | 'yarn';

/** What installs a workspace as a whole from its root; null when the root is no workspace. */
export async function workspaceManager(root: Folder): Promise<PackageManager | null> {
  const json = await packageFile(root);
  return (json?.workspaces.length ?? 0) > 0 || root.files.has('pnpm-workspace.yaml') ? manager(root) : null;
}

/**
 * Node.js: `package.json`, or a lone server file.
 * @param workspace What has installed the dependencies already, from the root; null: this folder is on its own.
 */
export async function recogniseNode(folder: Folder, workspace: PackageManager | null): Promise<Found | null> {
  const json = await packageFile(folder);
  const notes: string[] = [];
  if (!json && folder.files.has('package.json')) notes.push('package.json is not valid JSON; it was not looked at.');
  const tool = workspace ?? manager(folder);
  const start = startCommand(folder, json, tool);
  if (!json) {
    const entry = firstFile(folder, ENTRIES.slice(0, 2));
    if (entry === undefined) return notes.length === 0 ? null : found('a package.json that can not be read', { notes });
    return found('Node.js', {
      services: [{ name: 'web', run: `node ${entry}`, comment: 'Has to listen on $PORT.' }],
      notes,
    });
  }
  const test = testScript(json) === null ? null : testCommand(json, tool);
  const steps = workspace === null ? installSteps(folder, json, test !== null, notes) : [];
  if (json.scripts['build'] !== undefined) steps.push(`${tool} run build`);
  const build = steps.length === 0 ? null : steps.join(' && ');
  if (start !== null)
    return found('Node.js (package.json)', { build, test, notes, services: [{ name: 'web', ...start }] });
  return found('Node.js (package.json)', { build, test, notes });
}

function startCommand(
  folder: Folder,
  json: PackageFile | null,
  tool: PackageManager,
): { run: string; comment: string } | null {
  const script = json?.scripts['start'];
  if (json && script !== undefined) {
    // Straight to node where that is all the script does: signals arrive, and one process less runs.
    const plain = /^node [\w./=@ -]+$/.test(script) && json.scripts['prestart'] === undefined;
    return {
      run: plain ? script : `${tool} start`,
      comment: 'From the start script; it has to listen on $PORT.',
    };
  }
  const main = json?.main ?? null;
  const isFile = main !== null && /\.[cm]?js$/.test(main) && json?.workspaces.length === 0;
  const entry = firstFile(folder, ENTRIES) ?? (isFile ? main : undefined);
  if (entry === undefined) return null;
  return {
    run: `node ${shellWord(entry)}`,
    comment: 'There is no start script, so this is a guess; it has to listen on $PORT.',
  };
}

function manager(folder: Folder): PackageManager {
  if (folder.files.has('pnpm-lock.yaml')) return 'pnpm';
  return folder.files.has('yarn.lock') ? 'yarn' : 'npm';
}

function installSteps(folder: Folder, json: PackageFile, tested: boolean, notes: string[]): string[] {
  const steps: string[] = [];
  const tool = manager(folder);
  const locked =
    firstFile(folder, ['package-lock.json', 'npm-shrinkwrap.json', 'pnpm-lock.yaml', 'yarn.lock']) !== undefined;
  const needed =
    Object.keys({ ...json.dependencies, ...json.devDependencies }).length > 0 || json.workspaces.length > 0;
  // Checks and the build script run over what was installed here, so then the development dependencies come along.
  const everything = tested || json.scripts['build'] !== undefined || json.workspaces.length > 0;
  if (locked && tool === 'pnpm') steps.push(`pnpm install --frozen-lockfile${everything ? '' : ' --prod'}`);
  else if (locked && tool === 'yarn') {
    steps.push(
      folder.files.has('.yarnrc.yml')
        ? 'yarn install --immutable'
        : `yarn install --frozen-lockfile${everything ? '' : ' --production'}`,
    );
  } else if (locked) steps.push(everything ? 'npm ci' : 'npm ci --omit=dev');
  else if (needed) {
    steps.push(everything ? 'npm install' : 'npm install --omit=dev');
    notes.push(
      'There is no lockfile: commit package-lock.json and use "npm ci", so that the same commit always builds the same.',
    );
  }
  if (tool !== 'npm') notes.push(`The machine that builds needs ${tool}.`);
  return steps;
}

function testScript(json: PackageFile): string | null {
  const script = json.scripts['test'];
  return script === undefined || script.includes('no test specified') ? null : script;
}

function testCommand(json: PackageFile, tool: PackageManager): string {
  const script = testScript(json) ?? '';
  return /^node --test[\w./*=" -]*$/.test(script) && json.scripts['pretest'] === undefined ? script : `${tool} test`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function texts(value: unknown): Record<string, string> {
  const entries = isObject(value) ? Object.entries(value) : [];
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string' && entry[1].trim() !== ''),
  );
}
