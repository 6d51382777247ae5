import { styleText } from 'node:util';
import type { ApiEnvironment, ApiEvent, ApiRollout } from './api.ts';

/** States and texts of the API as people read them on a terminal. */

type Colour = 'green' | 'yellow' | 'red' | 'gray';

const stateColours: Record<ApiEnvironment['state'], Colour> = {
  ready: 'green',
  rolling: 'yellow',
  failing: 'red',
  asleep: 'gray',
  removing: 'gray',
};

export function stateText(state: ApiEnvironment['state']): string {
  return colour(stateColours[state], state);
}

export function rolloutState(state: ApiRollout['state']): string {
  const colours: Record<ApiRollout['state'], Colour> = {
    waiting: 'yellow',
    running: 'yellow',
    succeeded: 'green',
    failed: 'red',
    superseded: 'gray',
    cancelled: 'gray',
  };
  return colour(colours[state], state);
}

/** `staging` or, for a pull request, `pr-3 (new-headline)`. */
export function environmentName(environment: ApiEnvironment): string {
  const branch = environment.kind === 'pull-request' ? environment.branch : null;
  return branch === null || branch === environment.environment
    ? environment.environment
    : `${environment.environment} (${branch})`;
}

export function releaseText(release: { number: number; commit: string } | null): string {
  return release === null ? '-' : `${release.number} (${shortCommit(release.commit)})`;
}

export function shortCommit(commit: string): string {
  return commit.slice(0, 7);
}

/** `2/2`, over all services and workers; coloured when some are missing. */
export function readyText(parts: { ready: number; desired: number }[]): string {
  const ready = parts.reduce((sum, part) => sum + part.ready, 0);
  const desired = parts.reduce((sum, part) => sum + part.desired, 0);
  return ready < desired ? colour('yellow', `${ready}/${desired}`) : `${ready}/${desired}`;
}

/** Local time; the date only when it is not today. */
export function timeText(iso: string): string {
  const at = new Date(iso);
  const two = (value: number) => String(value).padStart(2, '0');
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const today = at.toDateString() === new Date().toDateString();
  return today ? clock : `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock}`;
}

/** `12:03:01  shop/staging  release 7 is ready`. */
export function eventLine(event: ApiEvent): string {
  const where = event.app === null ? '' : event.environment === null ? event.app : `${event.app}/${event.environment}`;
  return [colour('gray', timeText(event.at)), where, event.message].filter((part) => part !== '').join('  ');
}

function colour(name: Colour, text: string): string {
  return styleText(name, text, { stream: process.stdout });
}
