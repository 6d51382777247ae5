import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  configPaths,
  formatProblem,
  nearest,
  parseApp,
  parseConfig,
  resolveConfig,
  SlipwayError,
  type App,
  type Environment,
  type Problem,
} from '@slipway/app';
import type { EnvironmentTarget } from '../target.ts';

const DEFINITION = 'slipway.yaml';
/** Where git keeps which branch a clone's origin has as its default. */
const DEFAULT_BRANCH = 'refs/remotes/origin/HEAD';

const run = promisify(execFile);

/** What a checkout says about one of its environments. */
export interface Checkout {
  app: App;
  /** Environments and patches: those of the app, or of the branch that a pull request wants to get into. */
  policy: Pick<App, 'environments' | 'kubernetes'>;
  environment: Environment;
  /** Where the policy of a pull request comes from; null: from the checkout itself, because there is no other. */
  policyFrom: string | null;
}

/**
 * Reads `slipway.yaml` of a folder for one environment.
 *
 * @param policyRef Git ref whose file says environments and patches; null: for a pull request the default branch of origin if the clone knows it,
 *   else the file itself.
 * @throws {SlipwayError} `mistake` with every problem of the file; `not-found` when it has no such environment.
 */
export async function readCheckout(
  folder: string,
  target: EnvironmentTarget,
  policyRef: string | null,
): Promise<Checkout> {
  const file = join(folder, DEFINITION);
  if (!existsSync(file))
    throw new SlipwayError('mistake', `there is no ${file}`, {
      hint: 'Run it in the checkout, or name it with --folder.',
    });
  const app = parse(readFileSync(file, 'utf8'), DEFINITION);
  if (app.app !== target.app)
    throw new SlipwayError('not-found', `${DEFINITION} here is of the app ${app.app}, not of ${target.app}`, {
      hint: `Write ${app.app}/${target.environment}, or name the right checkout with --folder.`,
    });
  const from = policyRef ?? (isPullRequest(target.environment) ? await defaultBranchOf(folder) : null);
  const policy = from === null ? app : parse(await fileAt(folder, from), `${from}:${DEFINITION}`);
  return { app, policy, environment: environmentOf(policy, target), policyFrom: from };
}

/** The config of an environment: that of the app, with the files of the environment over it. */
export function readConfig(folder: string, { app, environment }: Checkout, name: string): Record<string, string> {
  const layers: Record<string, string>[] = [];
  for (const file of configPaths(name, environment.source)) {
    const path = join(folder, file);
    if (!existsSync(path)) continue;
    const parsed = parseConfig(readFileSync(path, 'utf8'), { file, app });
    if (!parsed.ok) throw mistakes(parsed.problems);
    layers.push(parsed.values);
  }
  return resolveConfig(app, layers);
}

/** The commit that is checked out. @throws {SlipwayError} `mistake` when there is none. */
export async function headOf(folder: string): Promise<string> {
  const head = await git(folder, ['rev-parse', '--verify', 'HEAD']);
  if (head instanceof Error)
    throw new SlipwayError(
      'mistake',
      `${folder} has no commit that is checked out, and the commit is the tag of its images`,
      {
        hint: 'Run it in a git checkout, or name the commit with --commit.',
      },
    );
  return head.trim();
}

function isPullRequest(environment: string): boolean {
  return /^pr-\d+$/.test(environment);
}

function environmentOf(
  { environments }: Checkout['policy'],
  { app, environment: name }: EnvironmentTarget,
): Environment {
  const previews = Object.values(environments).find(({ source }) => source === 'pull-requests');
  if (previews !== undefined && isPullRequest(name)) return previews;
  const found = Object.hasOwn(environments, name) ? environments[name] : undefined;
  if (found !== undefined && found === previews)
    throw new SlipwayError('mistake', `${name} stands for an environment for each pull request`, {
      hint: `Name one by its number, such as ${app}/pr-12.`,
    });
  if (found !== undefined) return found;
  const names = Object.keys(environments).filter((one) => environments[one] !== previews);
  const near = nearest(name, names);
  const others = [...names, ...(previews === undefined ? [] : ['pr-NUMBER'])].join(', ');
  throw new SlipwayError('not-found', `${app} has no environment ${name}`, {
    hint: near === null ? `It has ${others}.` : `Did you mean ${app}/${near}? It has ${others}.`,
  });
}

function parse(text: string, file: string): App {
  const parsed = parseApp(text, { file });
  if (!parsed.ok) throw mistakes(parsed.problems);
  return parsed.app;
}

function mistakes(problems: readonly Problem[]): SlipwayError {
  return new SlipwayError('mistake', problems.map((problem) => formatProblem(problem)).join('\n'));
}

async function defaultBranchOf(folder: string): Promise<string | null> {
  const found = await git(folder, ['symbolic-ref', '--short', DEFAULT_BRANCH]);
  return found instanceof Error ? null : found.trim();
}

async function fileAt(folder: string, ref: string): Promise<string> {
  // A ref never begins with a hyphen; git would read it as an option.
  const text = ref.startsWith('-') ? new Error('it is no ref') : await git(folder, ['show', `${ref}:./${DEFINITION}`]);
  if (!(text instanceof Error)) return text;
  throw new SlipwayError('mistake', `${DEFINITION} of ${ref}, whose policy counts, can't be read`, {
    hint: 'Name a branch that has it, and that this clone has fetched: --policy origin/main',
    cause: text,
  });
}

async function git(folder: string, args: string[]): Promise<string | Error> {
  try {
    const { stdout } = await run('git', ['-C', folder, ...args], {
      timeout: 20_000,
      env: { ...process.env, GIT_TERMINAL_PROMPT: '0' },
    });
    return stdout;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
