import { AxeBuilder } from '@axe-core/playwright';
import { findChromium } from '@slipway/testing';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { buildIfMissing } from '../node/index.ts';
import { launchBrowser } from './browser.ts';
import { ScriptedControlPlane } from './control-plane.ts';
import {
  busyTeam,
  crashReason,
  environment,
  happened,
  largeCompany,
  preview,
  production,
  release,
  rollout,
  sha,
} from './scenes.ts';

const executable = findChromium();

describe.skipIf(executable === null)('dashboard', () => {
  let browser: Browser;
  let built: string;
  let plane: ScriptedControlPlane;
  let context: BrowserContext;
  let page: Page;
  /** What the browser complained of: errors in scripts, and everything the content security policy stopped. */
  let complaints: string[];

  beforeAll(async () => {
    built = await buildIfMissing();
    browser = await launchBrowser(executable ?? '');
  });
  afterAll(() => browser.close());

  beforeEach(async () => {
    plane = new ScriptedControlPlane(built);
    plane.tokens.set('slw_admin', { name: 'ada', role: 'admin' });
    plane.tokens.set('slw_viewer', { name: 'vic', role: 'viewer' });
    await plane.start();
    complaints = [];
    await openPage({ viewport: { width: 1280, height: 800 } });
  });
  afterEach(async () => {
    await context.close();
    await plane.stop();
    expect(complaints).toEqual([]);
  });

  async function openPage(options: Parameters<Browser['newContext']>[0]): Promise<void> {
    context = await browser.newContext({ reducedMotion: 'reduce', ...options });
    context.setDefaultTimeout(10_000);
    page = await context.newPage();
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      if (/content security policy|uncaught/i.test(message.text())) complaints.push(message.text());
    });
  }

  /** The card of `app/environment`. */
  const card = (key: string) => page.locator(`[data-environment="${key}"]`);
  const connection = (word: string) => page.locator(`[data-testid=connection][data-connection=${word}]`).waitFor();
  const stateOf = (key: string, state: string) =>
    page.locator(`[data-environment="${key}"][data-state=${state}]`).waitFor();
  const logIn = async (token = 'slw_admin') => {
    await page.goto(`${plane.url}/#token=${token}`);
    await connection('live');
  };
  const violations = async () => {
    const { violations: found } = await new AxeBuilder({ page }).analyze();
    return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
  };

  describe('logging in', () => {
    test('asks for a token, says why a wrong one is refused, and lets a right one in', async () => {
      await page.goto(plane.url);
      await page.getByLabel('Token').fill('slw_wrong');
      await page.keyboard.press('Enter');
      expect(await page.getByRole('alert').textContent()).toMatch(/not known.*slipway token create/);
      expect(await violations()).toEqual([]);

      await page.getByLabel('Token').fill('slw_admin');
      await page.getByRole('button', { name: 'Log in' }).click();
      expect(await page.getByTestId('me').textContent()).toBe('ada (admin)');
    });

    test('a link with a token logs in at once and leaves no token in the address bar or the history', async () => {
      await logIn();
      expect(page.url()).toBe(`${plane.url}/`);
      await page.reload();
      await connection('live');
      expect(await page.evaluate(() => history.length)).toBeLessThanOrEqual(2);
    });

    test('a link that is opened in a tab with another session logs in anew', async () => {
      await logIn('slw_viewer');
      await page.goto(`${plane.url}/#token=slw_admin`);
      await page.getByText('ada (admin)').waitFor();
      expect(page.url()).toBe(`${plane.url}/`);
    });

    test('logging out while the control plane is gone says that it did not happen', async () => {
      await logIn();
      await plane.stop();
      await page.getByRole('button', { name: 'Log out' }).click();
      expect(await page.getByRole('alert').textContent()).toContain('does not answer');
      await plane.start();
    });

    test('a link with a wrong token says so', async () => {
      await page.goto(`${plane.url}/#token=slw_old`);
      expect(await page.getByRole('alert').textContent()).toMatch(/token in the link was not accepted/);
      expect(page.url()).toBe(`${plane.url}/`);
    });

    test('logging out ends the session, also for a page that is loaded again', async () => {
      await logIn();
      await page.getByRole('button', { name: 'Log out' }).click();
      await page.getByLabel('Token').waitFor();
      await page.reload();
      await page.getByLabel('Token').waitFor();
    });

    test('a session that ended while the page was open leads back to the question for a token', async () => {
      await logIn();
      plane.tokens.delete('slw_admin');
      await plane.stop();
      await plane.start();
      await page.getByLabel('Token').waitFor();
    });
  });

  describe('what is', () => {
    test('shows every app with its environments in the order of promotion, previews newest first', async () => {
      plane.put(...busyTeam());
      await logIn();
      const names = await page
        .locator('[data-app=shop] [data-environment]')
        .evaluateAll((cards) => cards.map((each) => each.getAttribute('data-environment')));
      expect(names).toEqual(['shop/staging', 'shop/production', 'shop/pr-31', 'shop/pr-30', 'shop/pr-28']);
      expect(await page.locator('[data-app] h2').allTextContents()).toEqual(['billing', 'shop', 'website']);
      const production = await page.getByTestId('environment').and(card('website/production')).boundingBox();
      const below = await card('shop/production').boundingBox();
      expect(production?.x).toBe(below?.x);
    });

    test('says state, release, commit, instances, reason, step, hold and expiry in words', async () => {
      plane.put(...busyTeam());
      await logIn();
      expect(await card('billing/staging').innerText()).toContain('web of release 13 ended with exit code 1');
      expect(await card('billing/staging').innerText()).toMatch(/failing[^]*release 12 · .{7}\n[^]*web 1\/2/);
      expect(await card('billing/production').getByTestId('hold').textContent()).toBe(
        `Held since ${sha(11).slice(0, 7)}: automatic deploys wait for a newer commit`,
      );
      expect(await card('shop/staging').getByTestId('step').textContent()).toMatch(/^starts release 13 · \d+ s$/);
      expect(await card('shop/production').innerText()).toMatch(/ready[^]*waits for approval · 24 min/);
      expect(await card('shop/pr-31').innerText()).toMatch(/feature\/gift-cards[^]*removed in 71 h/);
      expect(await card('shop/staging').getByTestId('open').getAttribute('href')).toBe(
        'http://staging.shop.localhost:7080',
      );
    });

    test('counts the time of a running rollout', async () => {
      await page.clock.install();
      plane.put(environment('shop', 'staging', { state: 'rolling', rollout: rollout('shop', 'staging') }));
      await logIn();
      await page.clock.fastForward(120_000);
      await page.getByText(/starts release 13 · 2 min \d+ s/).waitFor();
    });

    test('only http addresses become links', async () => {
      plane.put(environment('shop', 'staging', { url: 'javascript:alert(1)' }));
      await logIn();
      expect(await page.getByTestId('open').count()).toBe(0);
    });

    test('before the first app it tells how to push one, with the address of this very server', async () => {
      await logIn();
      const commands = await page.getByTestId('push-commands').innerText();
      expect(commands).toContain('slipway init');
      expect(commands).toContain(`git remote add slipway ${plane.url}/git/my-app.git`);
      expect(await violations()).toEqual([]);

      plane.put(environment('shop', 'staging'));
      await stateOf('shop/staging', 'ready');
      expect(await page.getByTestId('empty').count()).toBe(0);
    });

    test('an app without an environment has its own commands', async () => {
      plane.apps = [{ app: 'blog', cloneUrl: 'http://slipway.example/git/blog.git' }];
      await logIn();
      expect(await page.locator('[data-app=blog]').innerText()).toContain('http://slipway.example/git/blog.git');
    });
  });

  describe('live', () => {
    test('shows each change without a reload', async () => {
      plane.put(environment('shop', 'staging'));
      await logIn();
      plane.put(environment('shop', 'staging', { state: 'failing', reason: crashReason }));
      await stateOf('shop/staging', 'failing');
      plane.put(preview('shop', 3, 'feature/x'));
      await stateOf('shop/pr-3', 'ready');
      plane.remove('shop', 'pr-3');
      await card('shop/pr-3').waitFor({ state: 'detached' });
    });

    test('reconnects by itself, and drops what is gone meanwhile', async () => {
      plane.put(environment('shop', 'staging'), preview('shop', 3, 'feature/x'));
      await logIn();
      await plane.stop();
      await connection('reconnecting');
      // What was known stays readable, and is marked as perhaps old.
      await stateOf('shop/pr-3', 'ready');

      plane.environments.delete('shop/pr-3');
      plane.environments.set('shop/staging', environment('shop', 'staging', { state: 'asleep' }));
      await plane.start();
      await connection('live');
      await stateOf('shop/staging', 'asleep');
      expect(await card('shop/pr-3').count()).toBe(0);
    });

    test('a page that nobody looks at closes its stream, and is true again when it is seen', async () => {
      await page.clock.install();
      plane.put(environment('shop', 'staging'));
      await logIn();
      const show = (hidden: boolean) =>
        page.evaluate((value) => {
          Object.defineProperty(document, 'hidden', { configurable: true, value });
          document.dispatchEvent(new Event('visibilitychange'));
        }, hidden);
      await show(true);
      await page.clock.fastForward(61_000);
      await expect.poll(() => plane.openStreams).toBe(0);
      plane.put(environment('shop', 'staging', { state: 'asleep' }));
      await show(false);
      await stateOf('shop/staging', 'asleep');
      await connection('live');
    });
  });

  describe('details', () => {
    beforeEach(() => {
      plane.put(environment('shop', 'staging', { state: 'failing', reason: crashReason }), production('shop'));
      plane.events = [happened(1, 'shop', 'staging', 'rollout.started', 'Starts release 13.', 5)];
      plane.why = {
        subject: 'environment shop/staging',
        summary: 'Release 13 failed; release 12 serves.',
        timeline: [
          {
            at: new Date().toISOString(),
            kind: 'awaited',
            message: 'Waits for a newer commit',
            unblock: 'Push a fix.',
          },
        ],
      };
    });

    test('open from a card, have an address, and tell the whole reason, why, and what happened live', async () => {
      await logIn();
      await card('shop/staging').click({ position: { x: 20, y: 60 } });
      expect(page.url()).toBe(`${plane.url}/#/shop/staging`);
      const panel = page.getByTestId('panel');
      await panel.getByText('Starts release 13.').waitFor();
      expect(await panel.getByTestId('reason').innerText()).toContain('/app/src/payments/checkout.js');
      expect(await panel.getByTestId('why').innerText()).toMatch(/release 12 serves[^]*newer commit[^]*Push a fix/);

      plane.happen(happened(2, 'shop', 'staging', 'rollout.failed', 'Release 13 failed: web crashes.', 0));
      await panel.getByText('Release 13 failed: web crashes.').waitFor();
      expect(await panel.getByTestId('happened').first().innerText()).toContain('web crashes');
      expect(await violations()).toEqual([]);

      await page.reload();
      await panel.getByText('Release 13 failed: web crashes.').waitFor();
      await page.goBack();
      await panel.waitFor({ state: 'detached' });
    });

    test('events of before a reconnection are read again', async () => {
      await logIn();
      await page.goto(`${plane.url}/#/shop/staging`);
      await page.getByText('Starts release 13.').waitFor();
      await plane.stop();
      plane.events.push(happened(2, 'shop', 'staging', 'rollout.failed', 'Failed while nobody listened.', 0));
      await plane.start();
      await page.getByText('Failed while nobody listened.').waitFor();
    });

    test('an environment that is not there (any more) is said to be so', async () => {
      await logIn();
      await page.goto(`${plane.url}/#/shop/pr-9`);
      await page.getByText('There is no environment shop/pr-9 now.').waitFor();
    });
  });

  describe('actions', () => {
    const waiting = () =>
      production('shop', {
        rollout: rollout('shop', 'production', {
          id: '42',
          kind: 'promote',
          state: 'waiting',
          step: 'waits for approval',
          approval: 'required',
        }),
      });

    test('a viewer is offered none', async () => {
      plane.put(environment('shop', 'staging'), waiting());
      await logIn('slw_viewer');
      await stateOf('shop/production', 'ready');
      expect(await page.getByRole('button', { name: /Promote|Roll back|Approve/ }).count()).toBe(0);
    });

    test('a rollout that waits for an approval is approved after a question', async () => {
      plane.put(environment('shop', 'staging'), waiting());
      await logIn();
      await page.getByRole('button', { name: 'Approve shop/production' }).click();
      expect(await page.getByRole('dialog').innerText()).toMatch(
        /promote of .{7} that ada asked for starts now[^]*replaces release 9/,
      );
      expect(await violations()).toEqual([]);
      await page.getByTestId('confirm-yes').click();
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      expect(plane.actions).toEqual(['POST /api/rollouts/42/approve']);
    });

    test('a deployer may promote and roll back, but only an admin approves', async () => {
      plane.tokens.set('slw_deployer', { name: 'dee', role: 'deployer' });
      plane.put(environment('shop', 'staging'), waiting(), environment('site', 'staging'), production('site'));
      await logIn('slw_deployer');
      await stateOf('shop/production', 'ready');
      expect(await page.getByTestId('approve').count()).toBe(0);
      await card('site/production').getByTestId('promote').click();
      expect(await page.getByRole('dialog').innerText()).toContain('waits for the approval of an admin');
    });

    test('a rollout that waits for its checks is not offered for approval', async () => {
      const rolling = rollout('shop', 'staging', { state: 'waiting', step: 'waits for check test' });
      plane.put(environment('shop', 'staging', { state: 'rolling', rollout: rolling }));
      await logIn();
      await page.getByText('waits for check test').waitFor();
      expect(await page.getByTestId('approve').count()).toBe(0);
    });

    test('a promotion says what replaces what, and that an admin approves by asking', async () => {
      plane.put(environment('shop', 'staging'), production('shop'));
      await logIn();
      expect(await card('shop/staging').getByTestId('promote').count()).toBe(0);
      await card('shop/production').getByTestId('promote').click();
      expect(await page.getByRole('dialog').innerText()).toMatch(
        /serves in staging \(release 12 · .{7}\)[^]*replaces release 9/,
      );
      expect(await page.getByRole('dialog').innerText()).toContain('counts as its approval');
      await page.getByTestId('confirm-yes').click();
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      expect(plane.actions).toEqual(['POST /api/apps/shop/environments/production/promote {}']);
    });

    test('a rollback goes to the release before, or to a chosen one', async () => {
      plane.put(environment('shop', 'staging'));
      plane.releases = [12, 11, 8].map((number) => release('shop', 'staging', number, `Change ${number}`));
      await logIn();
      await page.getByTestId('rollback').click();
      await page.getByRole('button', { name: 'Roll back to release 11' }).waitFor();
      expect(await page.getByRole('radio').count()).toBe(2);
      await page.getByRole('radio').nth(1).check();
      await page.getByRole('button', { name: 'Roll back to release 8' }).click();
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      expect(plane.actions).toEqual(['POST /api/apps/shop/environments/staging/rollback {"to":8}']);
    });

    test('a refusal is shown with what to do, and nothing is closed', async () => {
      plane.put(environment('shop', 'staging'), production('shop'));
      plane.refusal = {
        title: 'Production is held since 1a2b3c4.',
        status: 409,
        kind: 'conflict',
        hint: 'Push a newer commit first.',
      };
      await logIn();
      await page.getByTestId('promote').click();
      await page.getByTestId('confirm-yes').click();
      expect(await page.getByRole('alert').innerText()).toMatch(/held since 1a2b3c4[^]*Push a newer commit first/);
      await page.getByRole('button', { name: 'Cancel' }).click();
      await page.getByRole('dialog').waitFor({ state: 'detached' });
    });

    test('a control plane that is gone is said to be gone', async () => {
      plane.put(environment('shop', 'staging'), production('shop'));
      await logIn();
      await page.getByTestId('promote').click();
      await plane.stop();
      await page.getByTestId('confirm-yes').click();
      expect(await page.getByRole('alert').innerText()).toMatch(/does not answer[^]*keep serving/);
      await plane.start();
    });
  });

  describe('finding', () => {
    test('filters by app, branch, state and words of several; `/` goes there and Escape clears', async () => {
      plane.put(...busyTeam());
      await logIn();
      const shown = () => page.getByTestId('environment').count();
      const all = await shown();
      await page.keyboard.press('/');
      await page.keyboard.type('gift');
      expect(await shown()).toBe(1);
      await page.getByTestId('filter').fill('shop failing');
      expect(await shown()).toBe(1);
      await stateOf('shop/pr-30', 'failing');
      await page.getByTestId('filter').fill('no such thing');
      expect(await page.getByTestId('no-match').innerText()).toContain('no such thing');
      await page.keyboard.press('Escape');
      expect(await shown()).toBe(all);
      await page.getByTestId('count-failing').click();
      expect(await shown()).toBe(2);
    });

    test('many previews are folded, but none that fails; a filter finds the folded ones', async () => {
      plane.put(...largeCompany());
      await logIn();
      const previews = page.locator('[data-app=accounts] [data-environment*=pr-]');
      expect(await previews.count()).toBeLessThan(8);
      await stateOf('accounts/pr-105', 'failing');
      await page.locator('[data-app=accounts]').getByTestId('fold').click();
      expect(await previews.count()).toBe(58);
      await page.getByTestId('filter').fill('kiosk pr-120');
      await stateOf('kiosk/pr-120', 'asleep');
    });
  });

  describe('for everybody', () => {
    test.each(['light', 'dark'] as const)('axe finds nothing in the %s scheme', async (colorScheme) => {
      await page.emulateMedia({ colorScheme });
      plane.put(...busyTeam());
      plane.events = [happened(1, 'billing', 'staging', 'rollout.failed', crashReason, 5)];
      await logIn();
      expect(await violations()).toEqual([]);
      await page.goto(`${plane.url}/#/billing/staging`);
      await page.getByTestId('happened').waitFor();
      expect(await violations()).toEqual([]);
    });

    test('everything can be done with the keyboard, and the focus comes back', async () => {
      plane.put(environment('shop', 'staging'), production('shop'));
      await logIn();
      await card('shop/production').getByRole('link', { name: 'production', exact: true }).focus();
      await page.keyboard.press('Enter');
      await page.getByTestId('panel').waitFor();
      expect(await page.evaluate(() => document.activeElement?.id)).toBe('panel-title');
      await page.keyboard.press('Escape');
      await page.getByTestId('panel').waitFor({ state: 'detached' });
      await expect
        .poll(() => page.evaluate(() => document.activeElement?.getAttribute('href')))
        .toBe('#/shop/production');

      await page.keyboard.press('Tab');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      await page.getByRole('dialog', { name: 'Promote shop/production' }).waitFor();
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe(
        'Promote shop/production',
      );
    });

    test('a phone of 360 px never scrolls sideways, and the details take the place of the page', async () => {
      await page.setViewportSize({ width: 360, height: 740 });
      plane.put(...busyTeam());
      await logIn();
      const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(await overflow()).toBeLessThanOrEqual(0);
      await card('billing/staging').click({ position: { x: 20, y: 60 } });
      await page.getByTestId('panel').waitFor();
      expect(await overflow()).toBeLessThanOrEqual(0);
      expect(await card('billing/staging').isVisible()).toBe(false);
      expect(await violations()).toEqual([]);
      await page.getByRole('button', { name: 'Close details' }).click();
      await card('billing/staging').waitFor();
    });

    test('nothing moves while the page loads, and twelve hundred environments are shown quickly', async () => {
      plane.put(...largeCompany());
      await page.addInitScript(() => {
        const shifts: number[] = [];
        Object.assign(window, { shifts });
        new PerformanceObserver((list) => {
          // The field is not in TypeScript's library yet.
          for (const entry of list.getEntries()) shifts.push(Number(Reflect.get(entry, 'value')));
        }).observe({ type: 'layout-shift', buffered: true });
      });
      const began = performance.now();
      await logIn();
      await page.getByTestId('environment').first().waitFor();
      expect(performance.now() - began).toBeLessThan(5_000);
      await page.evaluate(() => document.fonts.ready);
      expect(await page.evaluate(() => Reflect.get(window, 'shifts'))).toEqual([]);
    });
  });
});
