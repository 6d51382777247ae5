import type { ApiApp, ApiEvent, ApiProblem, ApiRelease, ApiRollout, ApiWhy, Role } from '@slipway/server';

export type {
  ApiApp,
  ApiEnvironment,
  ApiEvent,
  ApiProblem,
  ApiRelease,
  ApiRollout,
  ApiWhy,
  Role,
} from '@slipway/server';

/** Who is logged in, as `GET /api/me` says. */
export interface Me {
  name: string;
  role: Role;
}

/** What the control plane answered instead of what was asked for, or that it did not answer. */
export class ApiError extends Error {
  readonly kind: ApiProblem['kind'];
  readonly hint: string | null;

  constructor(kind: ApiProblem['kind'], message: string, hint: string | null) {
    super(message);
    this.name = 'ApiError';
    this.kind = kind;
    this.hint = hint;
  }
}

const environmentPath = (app: string, environment: string) =>
  `/api/apps/${encodeURIComponent(app)}/environments/${encodeURIComponent(environment)}`;

/** Everything the page asks of the control plane. All of it rejects with {@link ApiError}. */
export const api = {
  me: () => request<Me>('GET', '/api/me'),
  signIn: (token: string) => request<null>('POST', '/api/session', { token }),
  signOut: () => request<null>('DELETE', '/api/session'),
  apps: () => request<{ apps: ApiApp[] }>('GET', '/api/apps').then(({ apps }) => apps),
  /** Oldest first. */
  events: (app: string, environment: string) =>
    request<{ events: ApiEvent[] }>('GET', `/api/events?${new URLSearchParams({ app, environment })}`).then(
      ({ events }) => events,
    ),
  why: (app: string, environment: string) =>
    request<ApiWhy>('GET', `/api/why?${new URLSearchParams({ thing: `${app}/${environment}` })}`),
  /** Newest first. */
  releases: (app: string, environment: string, limit: number) =>
    request<{ releases: ApiRelease[] }>(
      'GET',
      `/api/apps/${encodeURIComponent(app)}/releases?${new URLSearchParams({ environment, limit: String(limit) })}`,
    ).then(({ releases }) => releases),
  promote: (app: string, environment: string) =>
    request<ApiRollout>('POST', `${environmentPath(app, environment)}/promote`, {}),
  rollback: (app: string, environment: string, to: number) =>
    request<ApiRollout>('POST', `${environmentPath(app, environment)}/rollback`, { to }),
  approve: (rollout: string) => request<ApiRollout>('POST', `/api/rollouts/${encodeURIComponent(rollout)}/approve`),
};

async function request<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new ApiError(
      'transient',
      'The control plane does not answer.',
      'Environments keep serving; try again in a moment.',
    );
  }
  if (!response.ok) throw await problemOf(response);
  const answer: Answer = response.status === 204 ? null : await response.json();
  return answer;
}

/** A proxy in front answers with something else than a problem; then the status has to do. */
async function problemOf(response: Response): Promise<ApiError> {
  const problem: Partial<ApiProblem> = await response.json().catch(() => ({}));
  const kind = problem.kind ?? (response.status === 401 || response.status === 403 ? 'denied' : 'transient');
  return new ApiError(kind, problem.title ?? `The control plane answered ${response.status}.`, problem.hint ?? null);
}
