import { expect, test } from 'vitest';
import { card, connection, describePage, logIn, page, plane, stateOf, violations } from './page-under-test.ts';
import { crashReason, environment, preview } from './scenes.ts';

describePage('logging in', () => {
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

describePage('live', () => {
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
