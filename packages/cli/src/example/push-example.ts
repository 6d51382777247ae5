import { existsSync } from 'node:fs';
import { SlipwayError } from '@slipway/app/errors';
import type { ApiApp, ApiEnvironment } from '../api.ts';
import { Client, localAddress } from '../client.ts';
import type { ServerSentEvent } from '../sse.ts';
import { trustedJson } from '../trusted-json.ts';
import { git } from './git.ts';
import { changeBranch, makeRepository, pointAt } from './repository.ts';

export interface ExampleRequest {
  home: string;
  /** Where its repository is, or is to be. */
  folder: string;
  entry: string;
  /** Shows what the server says of a push. */
  output: 'keep' | 'show';
  doing: (text: string) => void;
}

export const exampleApp = 'shop';
/** In the example's git config, once everything was pushed. */
const pushedMark = 'slipway.pushed';
const READY_SECONDS = 300;
/** After a start, instances may fail for a moment, until what they need is up. */
const FAILING_SECONDS = 20;

/**
 * Pushes the example app through the front door as a person would, then a change on a branch, and waits until staging and the
 * preview are ready. What was pushed is not pushed again; an app whose repository was deleted here is left alone.
 *
 * @returns its environments that came from a push, in the order of the API: the long-lived ones first.
 * @throws {SlipwayError} when a push is refused, or an environment does not get ready; with the reason.
 */
export async function pushExample(request: ExampleRequest): Promise<ApiEnvironment[]> {
  const { folder, home, entry } = request;
  // The Slipway on this machine, whoever this home is logged in to.
  const client = new Client(await localAddress(home));
  if (!(await wasPushed(client, folder))) {
    request.doing('making the example app a git repository');
    await makeRepository(folder, entry);
    await pointAt(folder, client.url, [process.execPath, entry, 'credential', '--home', home]);
    for (const branch of ['main', changeBranch]) {
      request.doing(`pushing ${branch}`);
      await git(folder, ['push', 'slipway', branch], request.output);
    }
    await git(folder, ['config', pushedMark, 'true']);
  } else if (existsSync(folder)) {
    // The port may be another one than at the last start.
    await pointAt(folder, client.url, [process.execPath, entry, 'credential', '--home', home]);
  }
  request.doing('waiting until staging and the preview are ready');
  await untilReady(client);
  const { environments } = await client.get<ApiApp>(`/api/apps/${exampleApp}`);
  return environments.filter(isFromPush);
}

/** Killed between its two pushes, it has an app but no mark: then pushing again does what is missing. */
async function wasPushed(client: Client, folder: string): Promise<boolean> {
  const { apps } = await client.get<{ apps: ApiApp[] }>('/api/apps');
  if (!apps.some(({ app }) => app === exampleApp)) return false;
  if (!existsSync(folder)) return true;
  return (await git(folder, ['config', '--default', 'false', '--get', pushedMark])).trim() === 'true';
}

/** Follows the live stream until everything that was pushed is ready, or asleep, which a request ends. */
async function untilReady(client: Client): Promise<void> {
  const environments = new Map<string, ApiEnvironment>();
  const giveUp = new AbortController();
  const late = setTimeout(() => giveUp.abort(), READY_SECONDS * 1000);
  let failing: NodeJS.Timeout | undefined;
  try {
    let synced = false;
    for await (const message of client.stream(`/api/stream?app=${exampleApp}`, { signal: giveUp.signal })) {
      note(environments, message);
      synced ||= message.event === 'synced';
      const states = [...environments.values()].map(({ state }) => state);
      if (synced && states.every((state) => state === 'ready' || state === 'asleep')) return;
      if (states.includes('failing')) failing ??= setTimeout(() => giveUp.abort(), FAILING_SECONDS * 1000);
      else {
        clearTimeout(failing);
        failing = undefined;
      }
    }
  } finally {
    clearTimeout(late);
    clearTimeout(failing);
  }
  throw notReady([...environments.values()]);
}

/** What a person asks for (production, by `promote`) is not waited for. */
function isFromPush({ kind }: ApiEnvironment): boolean {
  return kind !== 'environment';
}

function note(environments: Map<string, ApiEnvironment>, message: ServerSentEvent): void {
  if (message.event === 'removed') environments.delete(trustedJson<{ environment: string }>(message.data).environment);
  if (message.event !== 'environment') return;
  const environment = trustedJson<ApiEnvironment>(message.data);
  if (isFromPush(environment)) environments.set(environment.environment, environment);
}

function notReady(environments: ApiEnvironment[]): SlipwayError {
  const missing =
    environments.find(({ state }) => state === 'failing') ?? environments.find(({ state }) => state === 'rolling');
  if (missing === undefined) {
    return new SlipwayError('transient', 'the control plane went away while the example was being started', {
      hint: 'See its log, then run slipway up --example again.',
    });
  }
  const place = `${missing.app}/${missing.environment}`;
  return new SlipwayError(
    'transient',
    `${place} is ${missing.state}${missing.reason === null ? '' : `: ${missing.reason}`}`,
    {
      hint: `Everything that happened: slipway why ${place}`,
    },
  );
}
