import type { ApiEnvironment } from '../api/client.ts';

/** Whether every word of the filter is found in the environment's app, name, branch, pull request, state, commit or reason to wait. */
export function matcherOf(filter: string): (environment: ApiEnvironment) => boolean {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return (environment) => {
    const { app, environment: name, branch, pullRequest, state, release, rollout } = environment;
    const open = rollout?.state === 'waiting' ? 'waiting' : '';
    const text = [
      app,
      name,
      `${app}/${name}`,
      branch,
      pullRequest === null ? '' : `#${pullRequest}`,
      state,
      open,
      release?.commit.slice(0, 12),
    ]
      .join('\n')
      .toLowerCase();
    return words.every((word) => text.includes(word));
  };
}
