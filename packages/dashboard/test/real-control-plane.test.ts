import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findChromium, freePort, startProcess, temporaryFolder, testDatabase, waitFor } from '@slipway/testing';
import { expect, test } from 'vitest';
import { buildIfMissing } from '../node/index.ts';
import { launchBrowser } from './browser.ts';

const executable = findChromium();
const token = 'slw_of-the-dashboards-own-end-to-end-test-0123456789';

/** An app of one service, with staging, production behind an approval, and nothing to install. */
const files = {
  'slipway.yaml': `app: shop
services:
  web: { run: exec node web.js, health: /healthz }
environments:
  staging: { branch: main }
  production: { from: staging, approve: true, protected: true }
`,
  'web.js': `require('node:http').createServer((request, response) => response.end('ok')).listen(process.env.PORT, '127.0.0.1');`,
};

test.skipIf(executable === null)('shows what a real control plane does, and survives its kill -9', async () => {
  const [home, database, port, routerPort, dashboardFolder, browser] = await Promise.all([
    temporaryFolder(),
    testDatabase(),
    freePort(),
    freePort(),
    buildIfMissing(),
    launchBrowser(executable ?? ''),
  ]);
  const url = `http://127.0.0.1:${port}`;
  await writeFile(join(home, 'token'), token, { mode: 0o600 });
  const agentFolder = join(home, 'agent');
  runModule('@slipway/machine', 'runAgent', {
    folder: agentFolder,
    routerHost: '127.0.0.1',
    routerPort,
    domain: 'localhost',
  });
  const startServer = async () => {
    const server = runModule('@slipway/server', 'runServer', {
      home,
      dataFolder: join(home, 'data'),
      port,
      databaseUrl: database.url,
      agentFolder,
      routerPort,
      adminTokenFile: join(home, 'token'),
      dashboardFolder,
    });
    await waitFor(
      () =>
        fetch(`${url}/healthz`).then(
          ({ ok }) => ok,
          () => false,
        ),
      { what: 'the control plane', seconds: 30 },
    );
    return server;
  };

  try {
    const server = await startServer();
    const page = await browser.newPage();
    page.setDefaultTimeout(20_000);
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (/content security policy|uncaught/i.test(message.text())) complaints.push(message.text());
    });
    await page.goto(`${url}/#token=${token}`);
    await page.getByTestId('empty').waitFor();

    await push(join(home, 'shop'), `http://x:${token}@127.0.0.1:${port}/git/shop.git`);
    const staging = page.locator('[data-environment="shop/staging"][data-state=ready]');
    await staging.waitFor();
    expect(await staging.getByTestId('release').innerText()).toMatch(/^release 1 · /);

    await page.getByTestId('promote').click();
    await page.getByTestId('confirm-yes').click();
    await page.locator('[data-environment="shop/production"][data-state=ready]', { hasText: 'release 2' }).waitFor();

    await page.goto(`${url}/#/shop/production`);
    await page.getByTestId('happened').first().waitFor();
    await page.getByTestId('why').getByText('production is ready with release 2').waitFor();

    await server.kill();
    await page.locator('[data-connection=reconnecting]').waitFor();
    await startServer();
    await page.locator('[data-connection=live]').waitFor();
    await staging.waitFor();
    expect(complaints).toEqual([]);
  } finally {
    await browser.close();
  }
});

function runModule(name: string, start: string, options: object) {
  const source = `import { ${start} } from '${name}'; await ${start}(${JSON.stringify(options)});`;
  return startProcess(process.execPath, ['--input-type=module', '--eval', source], { cwd: import.meta.dirname });
}

async function push(folder: string, remote: string): Promise<void> {
  await mkdir(folder);
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  const settings = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.com', '-c', 'credential.helper='];
  const git = (...args: string[]) => promisify(execFile)('git', [...settings, ...args], { cwd: folder });
  await git('init', '-q', '-b', 'main');
  await git('add', '-A');
  await git('commit', '-q', '-m', 'First');
  await git('push', '-q', remote, 'main');
}
