import { SlipwayError } from '@slipway/app/errors';

export interface EnvironmentTarget {
  app: string;
  environment: string;
}

/**
 * Reads `APP/ENV`. The environment may be a pull request's branch, which may hold slashes itself.
 *
 * @throws {SlipwayError} `mistake` when it is not of this form.
 */
export function environmentTarget(text: string): EnvironmentTarget {
  const slash = text.indexOf('/');
  if (slash <= 0 || slash === text.length - 1) {
    throw new SlipwayError('mistake', `'${text}' does not name an environment`, {
      hint: 'Write APP/ENV, e.g. shop/staging. What there is: slipway status',
    });
  }
  return { app: text.slice(0, slash), environment: text.slice(slash + 1) };
}

/** Reads `APP` or `APP/ENV`. */
export function appOrEnvironment(text: string): { app: string; environment: string | null } {
  return text.includes('/') ? environmentTarget(text) : { app: text, environment: null };
}

/** Where the API tells about it. */
export function pathOf({ app, environment }: { app: string; environment: string | null }): string {
  return environment === null ? `/api/apps/${encodeURIComponent(app)}` : environmentPath({ app, environment });
}

export function environmentPath({ app, environment }: EnvironmentTarget): string {
  return `/api/apps/${encodeURIComponent(app)}/environments/${encodeURIComponent(environment)}`;
}

/**
 * Reads a whole number of at least `least`.
 *
 * @param name What it is, as the person wrote it, e.g. `--lines`.
 * @throws {SlipwayError} `mistake` for anything else.
 */
export function wholeNumber(name: string, text: string, least: number, most = Number.MAX_SAFE_INTEGER): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
    throw new SlipwayError('mistake', `${name} is '${text}'`, { hint: `Give a whole number ${range}.` });
  }
  return value;
}
