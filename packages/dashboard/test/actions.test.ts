import { expect, test } from 'vitest';
import { card, describePage, logIn, page, plane, stateOf, violations } from './page-under-test.ts';
import { environment, production, release, rollout } from './scenes.ts';

describePage('actions', () => {
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
