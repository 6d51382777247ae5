import path from 'node:path';
import { formatProblem, nameProblem, parseApp, toLabel } from '@slipway/app';
import { defaultBranch } from './branch.ts';
import { recogniseDockerfile } from './dockerfile.ts';
import { openFolder, shellWord } from './folder.ts';
import type { Folder } from './folder.ts';
import { recogniseGo } from './go.ts';
import { packageFile, recogniseNode, workspaceManager } from './node.ts';
import type { PackageManager } from './node.ts';
import { recogniseProcfile } from './procfile.ts';
import type { Found, ProposedProcess } from './proposal.ts';
import { recognisePython } from './python.ts';
import { recogniseRuby } from './ruby.ts';
import { recogniseStaticSite } from './static-site.ts';
import { writeYaml } from './write-yaml.ts';
import type { Proposal } from './write-yaml.ts';

const MAX_PARTS = 20;
/** Folders that hold no app of their own. */
const SKIPPED = /^(\..*|node_modules|vendor|dist|build|target|tests?|docs?|examples?|fixtures|scripts|__pycache__)$/;
/** Folders that hold one app each, in repositories of several. */
const PARENTS = ['apps', 'services', 'packages'];
const FRONT = ['web', 'www', 'frontend', 'site', 'app', 'client', 'ui'];

/**
 * Looks at a repository and proposes its `slipway.yaml`, with comments that say what to check. Reads files and asks git for
 * the default branch; executes nothing of the repository and writes nothing.
 *
 * @param folder Root of the repository.
 * @returns `yaml` is always accepted by `parseApp`; `notes` is what the person should know, one sentence each.
 * @throws What reading the folder throws, when it can't be read.
 */
export async function proposeApp(folder: string): Promise<{ yaml: string; notes: string[] }> {
  const root = await openFolder(folder);
  const parts = await recogniseParts(root);
  const { branch, sure } = await defaultBranch(folder);
  const proposal = assemble(await appName(root), parts, branch);
  proposal.variables = await exampleVariables(root);
  if (!sure) proposal.notes.push(`The default branch is not certain: staging follows "${branch}".`);
  if (proposal.services.length + proposal.workers.length + proposal.jobs.length === 0) {
    proposal.services.push({
      name: 'web',
      run: 'echo "write the command that starts your app here" && exit 1',
      comment: 'Replace this: a command that listens on $PORT.',
      build: null,
      route: true,
    });
    proposal.notes.push('Nothing was recognised that could be started: write the command of the service "web".');
  }
  const yaml = writeYaml(proposal);
  const parsed = parseApp(yaml);
  if (!parsed.ok)
    throw new Error(
      `slipway init wrote a file that is not valid:\n${parsed.problems.map(formatProblem).join('\n')}\n${yaml}`,
    );
  return { yaml, notes: proposal.notes };
}

interface Part {
  /** Relative to the root; empty for the root itself. */
  folder: string;
  found: Found;
}

/** The root alone when something there can be started, else every folder in which something can. */
async function recogniseParts(root: Folder): Promise<Part[]> {
  const whole = await recognise(root);
  if (whole && starts(whole)) return [{ folder: '', found: whole }];
  const parts: Part[] = [];
  const workspace = await workspaceManager(root);
  for (const folder of await innerFolders(root)) {
    const inner = await recognise(await openFolder(path.join(root.path, folder)), workspace);
    if (inner && starts(inner)) parts.push({ folder, found: inner });
  }
  return [...(whole ? [{ folder: '', found: whole }] : []), ...parts];
}

function starts(part: Found): boolean {
  return part.services.length + part.workers.length > 0;
}

/** What this folder is, by the surest sign. A Procfile names the processes, the language beside it how they are built. */
async function recognise(folder: Folder, workspace: PackageManager | null = null): Promise<Found | null> {
  const procfile = await recogniseProcfile(folder);
  const languages = [
    await recogniseNode(folder, workspace),
    await recognisePython(folder),
    await recogniseGo(folder),
    await recogniseRuby(folder),
  ].filter((part) => part !== null);
  const language = languages.find(starts) ?? languages[0] ?? null;
  if (procfile && starts(procfile)) {
    const notes = [...procfile.notes, ...(language?.notes ?? [])];
    return { ...procfile, build: language?.build ?? null, test: language?.test ?? null, notes };
  }
  if (language && starts(language)) return language;
  const other = (await recogniseDockerfile(folder)) ?? (await recogniseStaticSite(folder));
  if (other && starts(other)) {
    // A package.json beside an index.html builds the page.
    return {
      ...other,
      build: language?.build ?? other.build,
      test: language?.test ?? null,
      notes: [...(language?.notes ?? []), ...other.notes],
    };
  }
  return language ?? other;
}

async function innerFolders(root: Folder): Promise<string[]> {
  const workspaces = (await packageFile(root))?.workspaces ?? [];
  const parents = new Set([
    ...PARENTS,
    ...workspaces.filter((glob) => /^[\w-]+\/\*$/.test(glob)).map((glob) => glob.slice(0, -2)),
  ]);
  const folders: string[] = [];
  for (const name of root.folders.filter((folder) => !SKIPPED.test(folder))) {
    if (!parents.has(name)) folders.push(name);
    else
      for (const inner of (await openFolder(path.join(root.path, name))).folders)
        if (!SKIPPED.test(inner)) folders.push(`${name}/${inner}`);
  }
  return folders;
}

/** Joins the parts into one app: names valid and unique, commands run in their folder, one service public. */
function assemble(app: string, parts: Part[], branch: string): Proposal {
  const proposal: Proposal = { app, services: [], workers: [], jobs: [], checks: [], branch, variables: [], notes: [] };
  const taken = new Set<string>();
  const checkNames = new Set(['tools']);
  let shared = parts.find(({ folder, found }) => folder === '' && !starts(found))?.found.build ?? null;
  const shown = parts.slice(0, MAX_PARTS);
  for (const { folder, found: part } of shown) {
    const inside = (command: string): string => (folder === '' ? command : `cd ${shellWord(folder)} && ${command}`);
    const place = (process: ProposedProcess): ProposedProcess => ({
      ...process,
      name: unique(folder === '' || parts.length === 1 ? process.name : partName(folder, process, part), taken),
      run: inside(process.run),
      comment: folder === '' ? process.comment : `${folder}: ${process.comment}`,
    });
    // Builds run in the order of the file, in one checkout: what the root installs is there for all, so the first one does it.
    const own = part.build === null || folder === '' ? part.build : inside(part.build);
    const build = [shared, own].filter((step) => step !== null).join(' && ') || null;
    if (starts(part)) shared = null;
    proposal.services.push(...part.services.map((service) => ({ ...place(service), build, route: false })));
    proposal.workers.push(...part.workers.map((worker) => ({ ...place(worker), build })));
    proposal.jobs.push(...part.jobs.map(place));
    if (part.test !== null)
      proposal.checks.push({
        name: unique(folder === '' ? 'test' : `test-${toLabel(path.basename(folder)) ?? 'part'}`, checkNames),
        run: inside(part.test),
      });
    proposal.notes.push(...part.notes.map((note) => (folder === '' ? note : `${folder}: ${note}`)));
  }
  if (parts.length > shown.length)
    proposal.notes.push(`Only the first ${MAX_PARTS} of ${parts.length} folders with an app are in the file.`);
  const front = proposal.services.find(({ name }) => FRONT.includes(name)) ?? proposal.services[0];
  if (front) front.route = true;
  if (front && proposal.services.length > 1)
    proposal.notes.push(
      `Only the service "${front.name}" is public: give others a route, or name them in the "needs" of those that call them.`,
    );
  return proposal;
}

function partName(folder: string, process: ProposedProcess, part: Found): string {
  const base = toLabel(path.basename(folder)) ?? 'part';
  const alone = part.services.length === 1 && part.services[0] === process;
  return alone ? base : (toLabel(`${base}-${process.name}`) ?? base);
}

/** `name`, or `name-2` and so on when it is taken or reserved. */
function unique(name: string, taken: Set<string>): string {
  const base = toLabel(name) ?? 'web';
  let candidate = base;
  for (let number = 2; taken.has(candidate) || nameProblem(candidate) !== null; number++)
    candidate = `${base.slice(0, 36)}-${number}`;
  taken.add(candidate);
  return candidate;
}

async function appName(root: Folder): Promise<string> {
  const inPackage = (await packageFile(root))?.name?.replace(/^@[^/]*\//, '') ?? '';
  for (const name of [inPackage, path.basename(path.resolve(root.path))]) {
    const label = toLabel(name);
    if (label === null) continue;
    if (label.length > 1 && nameProblem(label) === null) return label;
    return `${label.slice(0, 36)}-app`;
  }
  return 'my-app';
}

async function exampleVariables(root: Folder): Promise<string[]> {
  const file = ['.env.example', '.env.sample', '.env.template'].find((name) => root.files.has(name));
  const lines = file === undefined ? [] : (await root.read(file)).split(/\r?\n/);
  const names = lines.flatMap((line) => /^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=/.exec(line.trim())?.[1] ?? []);
  return [...new Set(names)].filter((name) => name !== 'PORT' && !name.startsWith('SLIPWAY_'));
}
