import { beforeEach, expect, test } from 'vitest';
import { card, describePage, logIn, page, plane, stateOf, violations } from './page-under-test.ts';
import { busyTeam, largeCompany, crashReason, environment, happened, production, rollout, sha } from './scenes.ts';

describePage('what is', () => {
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

describePage('details', () => {
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

describePage('finding', () => {
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

describePage('for everybody', () => {
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
