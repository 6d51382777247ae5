import { AxeBuilder } from '@axe-core/playwright';
import { findChromium } from '@slipway/testing';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from 'vitest';
import { buildIfMissing } from '../node/index.ts';
import { launchBrowser } from './browser.ts';
import { ScriptedControlPlane } from './control-plane.ts';

const executable = findChromium();

let browser: Browser;
let built: string;
export let plane: ScriptedControlPlane;
let context: BrowserContext;
export let page: Page;
/** What the browser complained of: errors in scripts, and everything the content security policy stopped. */
let complaints: string[];

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
export const card = (key: string) => page.locator(`[data-environment="${key}"]`);
export const connection = (word: string) => page.locator(`[data-testid=connection][data-connection=${word}]`).waitFor();
export const stateOf = (key: string, state: string) =>
  page.locator(`[data-environment="${key}"][data-state=${state}]`).waitFor();
export const logIn = async (token = 'slw_admin') => {
  await page.goto(`${plane.url}/#token=${token}`);
  await connection('live');
};
export const violations = async () => {
  const { violations: found } = await new AxeBuilder({ page }).analyze();
  return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
};

/** Tests of the page: each gets a page and a control plane of its own. Skipped where there is no Chromium. */
export function describePage(name: string, tests: () => void): void {
  describe.skipIf(executable === null)(name, () => {
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
    tests();
  });
}
