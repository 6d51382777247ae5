import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Page } from 'playwright-core';
import { buildIfMissing } from '../node/index.ts';
import { launchBrowser } from '../test/browser.ts';
import { ScriptedControlPlane } from '../test/control-plane.ts';
import {
  busyTeam,
  crashReason,
  environment,
  happened,
  largeCompany,
  production,
  release,
  sha,
} from '../test/scenes.ts';

/*
 * Takes the pictures of docs/dashboard.md. `node scripts/screenshot.ts [--all] [--to FOLDER]`:
 * `--all` also takes those that are only for looking at after a change of the design.
 */
const { values } = parseArgs({ options: { all: { type: 'boolean' }, to: { type: 'string' } } });
const folder = values.to ?? join(import.meta.dirname, '../../../docs/images');

interface Scene {
  name: string;
  inDocs: boolean;
  width: number;
  height: number;
  scheme: 'light' | 'dark';
  environments: ReturnType<typeof busyTeam>;
  hash?: string;
  before?: (page: Page) => Promise<unknown>;
  wholePage?: boolean;
}

const desktop = { width: 1440, height: 900, scheme: 'light', inDocs: false } as const;
const phone = { ...desktop, width: 360, height: 740 } as const;
const two = [environment('shop', 'staging'), production('shop')];

const scenes: Scene[] = [
  { ...desktop, name: 'dashboard', inDocs: true, environments: busyTeam() },
  { ...desktop, name: 'dashboard-dark', inDocs: true, scheme: 'dark', environments: busyTeam() },
  { ...desktop, name: 'panel', environments: busyTeam(), hash: '#/billing/staging' },
  { ...desktop, name: 'panel-dark', scheme: 'dark', environments: busyTeam(), hash: '#/shop/production' },
  { ...desktop, name: 'two', environments: two },
  {
    ...desktop,
    name: 'login',
    environments: two,
    before: async (page) => {
      await page.getByRole('button', { name: 'Log out' }).click();
      await page.getByLabel('Token').fill('slw_old');
      await page.keyboard.press('Enter');
      await page.getByRole('alert').waitFor();
    },
  },
  { ...desktop, name: 'empty', environments: [] },
  { ...desktop, name: 'large', environments: largeCompany() },
  {
    ...desktop,
    name: 'large-unfolded',
    environments: largeCompany(),
    before: (page) => page.getByTestId('fold').first().click(),
  },
  { ...desktop, name: 'tablet', width: 900, environments: busyTeam(), wholePage: true },
  { ...phone, name: 'phone', environments: busyTeam(), wholePage: true },
  { ...phone, name: 'phone-panel', scheme: 'dark', environments: busyTeam(), hash: '#/billing/staging' },
  {
    ...desktop,
    name: 'rollback',
    environments: busyTeam(),
    before: async (page) => {
      await page.locator('[data-app=shop]').getByTestId('rollback').first().click();
      await page.getByRole('radio').first().waitFor();
    },
  },
  {
    ...desktop,
    name: 'promote',
    scheme: 'dark',
    environments: busyTeam(),
    before: (page) => page.locator('[data-app=billing]').getByTestId('promote').click(),
  },
];

function fill(plane: ScriptedControlPlane): void {
  plane.releases = [12, 11, 10, 8, 6].map((number) =>
    release(
      'shop',
      'staging',
      number,
      ['Sell gift cards', 'Show VAT per line', 'Cache the catalog', 'Log in with passkeys'][number % 4] ?? '',
    ),
  );
  plane.events = [
    happened(
      1,
      'billing',
      'staging',
      'release.created',
      `Release 13 is frozen: commit ${sha(13).slice(0, 7)}, config and secrets of staging.`,
      9,
    ),
    happened(2, 'billing', 'staging', 'check.passed', 'Check test passed in 12.4 s.', 8),
    happened(3, 'billing', 'staging', 'rollout.started', 'Starts release 13: 2 x web.', 7),
    happened(4, 'billing', 'staging', 'rollout.failed', crashReason.split('\n')[0] ?? '', 6),
  ];
  plane.why = {
    subject: 'environment billing/staging',
    summary: 'Serves release 12; the rollout of release 13 failed 6 min ago because web crashes.',
    timeline: [
      {
        at: new Date(Date.now() - 360_000).toISOString(),
        kind: 'awaited',
        message: 'Waits for a newer commit on main',
        unblock: 'Push a fix, or roll back to silence it.',
      },
    ],
  };
}

const browser = await launchBrowser(process.env['CHROMIUM'] ?? '/usr/bin/chromium');
const built = await buildIfMissing();
await mkdir(folder, { recursive: true });
for (const scene of scenes.filter(({ inDocs }) => inDocs || values.all)) {
  const plane = new ScriptedControlPlane(built);
  plane.tokens.set('slw_admin', { name: 'ada', role: 'admin' });
  plane.put(...scene.environments);
  fill(plane);
  await plane.start();
  const page = await browser.newPage({
    viewport: { width: scene.width, height: scene.height },
    colorScheme: scene.scheme,
    deviceScaleFactor: scene.inDocs ? 2 : 1,
    reducedMotion: 'reduce',
  });
  await page.goto(`${plane.url}/#token=slw_admin`);
  await page
    .getByTestId(scene.environments.length > 0 ? 'environment' : 'empty')
    .first()
    .waitFor();
  if (scene.hash) {
    await page.evaluate((hash) => void (location.hash = hash), scene.hash);
    await page.getByTestId('happened').or(page.getByText('Nothing yet.')).first().waitFor();
  }
  await scene.before?.(page);
  await page.screenshot({ path: join(folder, `${scene.name}.png`), fullPage: scene.wholePage ?? false });
  await page.close();
  await plane.stop();
}
await browser.close();
