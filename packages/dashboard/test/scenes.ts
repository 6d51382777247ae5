import type { ApiEnvironment, ApiEvent, ApiRelease, ApiRollout } from '../src/api/client.ts';

/** Objects of the API with plausible content; a test names only what it is about. */

const hour = 3_600_000;
const inHours = (hours: number) => new Date(Date.now() + hours * hour).toISOString();

export const sha = (seed: number) =>
  Array.from({ length: 40 }, (_, index) =>
    ((seed * 7919 + index * 104_729 + ((seed * index) ^ 0x5bd1)) % 16).toString(16),
  ).join('');

export function environment(app: string, name: string, change: Partial<ApiEnvironment> = {}): ApiEnvironment {
  return {
    app,
    environment: name,
    kind: 'branch',
    engine: 'machine',
    state: 'ready',
    reason: null,
    release: { number: 12, commit: sha(12) },
    services: [
      { name: 'web', ready: 2, desired: 2, url: null },
      { name: 'api', ready: 1, desired: 1, url: null },
    ],
    workers: [{ name: 'thumbnails', ready: 1, desired: 1 }],
    url: `http://${name}.${app}.localhost:7080`,
    branch: 'main',
    from: null,
    pullRequest: null,
    protected: false,
    heldSince: null,
    expiresAt: null,
    rollout: null,
    updatedAt: inHours(-1),
    ...change,
  };
}

export function production(app: string, change: Partial<ApiEnvironment> = {}): ApiEnvironment {
  return environment(app, 'production', {
    kind: 'environment',
    branch: null,
    from: 'staging',
    protected: true,
    release: { number: 9, commit: sha(9) },
    url: `https://${app}.example.com`,
    ...change,
  });
}

export function preview(
  app: string,
  number: number,
  branch: string,
  change: Partial<ApiEnvironment> = {},
): ApiEnvironment {
  return environment(app, `pr-${number}`, {
    kind: 'pull-request',
    branch,
    pullRequest: number,
    release: { number: number + 20, commit: sha(number) },
    expiresAt: inHours(71.4),
    ...change,
  });
}

export function rollout(app: string, name: string, change: Partial<ApiRollout> = {}): ApiRollout {
  return {
    id: '41',
    app,
    environment: name,
    kind: 'deploy',
    state: 'running',
    step: 'starts release 13',
    commit: sha(13),
    release: 13,
    reason: null,
    approval: 'none',
    actor: 'ada',
    createdAt: new Date(Date.now() - 8_000).toISOString(),
    finishedAt: null,
    ...change,
  };
}

export function release(app: string, name: string, number: number, subject: string): ApiRelease {
  return {
    app,
    number,
    environment: name,
    commit: sha(number),
    subject,
    author: 'Ada Lovelace',
    artifact: sha(number + 100),
    current: false,
    createdAt: inHours(number - 15),
    actor: 'ada',
  };
}

export function happened(
  id: number,
  app: string,
  name: string,
  kind: string,
  message: string,
  minutesAgo = 1,
): ApiEvent {
  return {
    id,
    at: new Date(Date.now() - minutesAgo * 60_000).toISOString(),
    app,
    environment: name,
    commit: sha(13),
    kind,
    message,
    actor: 'ada',
    data: {},
  };
}

export const crashReason = [
  'web of release 13 ended with exit code 1 three times within 20 s of its start. Release 12 keeps serving. Fix it and push again, or see `slipway logs shop/staging web`.',
  'node:internal/modules/cjs/loader:1478',
  '  throw err;',
  "Error: Cannot find module 'stripe'",
  'Require stack:',
  '- /app/src/payments/checkout.js',
  '- /app/web.js',
].join('\n');

/** A day in the life of a team: something of everything. */
export function busyTeam(): ApiEnvironment[] {
  return [
    environment('shop', 'staging', {
      state: 'rolling',
      rollout: rollout('shop', 'staging'),
      services: [
        { name: 'web', ready: 1, desired: 2, url: null },
        { name: 'api', ready: 1, desired: 1, url: null },
      ],
    }),
    production('shop', {
      reason: 'rollout 42 waits for approval: slipway approve 42',
      rollout: rollout('shop', 'production', {
        id: '42',
        kind: 'promote',
        state: 'waiting',
        step: 'waits for approval',
        approval: 'required',
        commit: sha(12),
        createdAt: inHours(-0.4),
      }),
    }),
    preview('shop', 31, 'feature/gift-cards'),
    preview('shop', 30, 'fix/rounding-of-vat-in-the-checkout-summary-for-business-customers', {
      state: 'failing',
      reason: 'Check test failed: 2 of 148 tests. Push a fix to the branch.',
      release: null,
    }),
    preview('shop', 28, 'chore/node-26', { state: 'asleep' }),
    environment('billing', 'staging', {
      state: 'failing',
      reason: crashReason.replaceAll('shop', 'billing'),
      services: [{ name: 'web', ready: 1, desired: 2, url: null }],
      workers: [],
    }),
    production('billing', { heldSince: sha(11), release: { number: 7, commit: sha(7) } }),
    environment('website', 'staging', { services: [{ name: 'site', ready: 1, desired: 1, url: null }], workers: [] }),
    production('website', {
      services: [{ name: 'site', ready: 3, desired: 3, url: null }],
      workers: [],
      release: { number: 12, commit: sha(12) },
    }),
    preview('website', 8, 'launch-page', {
      state: 'rolling',
      rollout: rollout('website', 'pr-8', { step: 'builds', release: null }),
    }),
    preview('website', 5, 'old-banner', { state: 'removing' }),
  ];
}

/** Twenty apps with sixty environments each. */
export function largeCompany(): ApiEnvironment[] {
  const names =
    'accounts billing catalog checkout delivery events feeds gateway identity journal kiosk ledger mailer notify orders pricing quotes reports search tracking';
  const topics = [
    'feature/filters',
    'fix/login-redirect',
    'renovate/undici-8',
    'spike/cache',
    'fix/flaky-import',
    'feature/audit-trail-export',
  ];
  return names.split(' ').flatMap((app, row) => [
    environment(app, 'staging', row % 7 === 3 ? { state: 'failing', reason: crashReason } : {}),
    production(app, row % 5 === 1 ? { heldSince: sha(row) } : {}),
    ...Array.from({ length: 58 }, (_, index) =>
      preview(app, 100 + index, `${topics[(index + row) % topics.length]}-${index}`, {
        state: index % 29 === 5 ? 'failing' : index > 50 ? 'ready' : 'asleep',
        reason: index % 29 === 5 ? 'The port of web never opened within 30 s. Listen on PORT.' : null,
      }),
    ),
  ]);
}
