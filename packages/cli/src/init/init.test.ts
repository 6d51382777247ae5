import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { parseApp } from '@slipway/app';
import type { App } from '@slipway/app';
import { afterEach, describe, expect, test } from 'vitest';
import { proposeApp } from './index.ts';

const run = promisify(execFile);
const folders: string[] = [];

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function repository(files: Record<string, string | object>, name = 'shop'): Promise<string> {
  const parent = await mkdtemp(path.join(os.tmpdir(), 'slipway-init-'));
  folders.push(parent);
  const folder = path.join(parent, name);
  await mkdir(folder);
  for (const [file, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, file)), { recursive: true });
    await writeFile(path.join(folder, file), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return folder;
}

async function propose(
  files: Record<string, string | object>,
  name?: string,
): Promise<{ app: App; yaml: string; notes: string }> {
  const { yaml, notes } = await proposeApp(await repository(files, name));
  const parsed = parseApp(yaml);
  if (!parsed.ok) throw new Error(`${JSON.stringify(parsed.problems)}\n${yaml}`);
  return { app: parsed.app, yaml, notes: notes.join('\n') };
}

describe('Node.js', () => {
  test('a start script, a lockfile, a build and a test', async () => {
    const { app, yaml } = await propose({
      'package.json': {
        name: '@acme/My_Shop',
        scripts: { start: 'node web.js', build: 'tsc', test: 'vitest run' },
        dependencies: { hono: '4' },
      },
      'package-lock.json': '{}',
      '.env.example': 'API_KEY=abc123\nPORT=3\n# x\nexport LOG=1\n',
    });
    expect(app.app).toBe('my-shop');
    expect(app.services).toMatchObject({ web: { build: 'npm ci && npm run build', run: 'node web.js', route: '/' } });
    expect(app.checks).toMatchObject({ test: { run: 'npm test' } });
    expect(yaml).toContain('#   API_KEY: ""\n#   LOG: ""');
    expect(yaml).not.toContain('abc123');
  });

  test.each<[string, Record<string, string | object>, string | null, string]>([
    [
      'no build, no tests: without development dependencies',
      {
        'package.json': { scripts: { start: 'next start -p $PORT' }, dependencies: { a: '1' } },
        'package-lock.json': '',
      },
      'npm ci --omit=dev',
      'npm start',
    ],
    [
      'no lockfile',
      { 'package.json': { dependencies: { a: '1' } }, 'server.js': '' },
      'npm install --omit=dev',
      'node server.js',
    ],
    ['nothing to install', { 'package.json': { main: 'lib/x.js' } }, null, 'node lib/x.js'],
    [
      'pnpm',
      { 'package.json': { scripts: { start: 'next start' } }, 'pnpm-lock.yaml': '' },
      'pnpm install --frozen-lockfile --prod',
      'pnpm start',
    ],
    [
      'yarn',
      { 'package.json': { scripts: { start: 'node x.js', prestart: 'y' } }, 'yarn.lock': '' },
      'yarn install --frozen-lockfile --production',
      'yarn start',
    ],
    ['a lone server file', { 'server.js': '' }, null, 'node server.js'],
  ])('%s', async (_, files, build, start) => {
    const { app } = await propose(files);
    expect(app.services).toMatchObject({ web: { build, run: start } });
    expect(app.checks).toEqual({});
  });

  test("npm's placeholder is no test, a broken package.json is a note", async () => {
    const { app } = await propose({
      'package.json': { scripts: { start: 'x', test: 'echo "Error: no test specified" && exit 1' } },
    });
    expect(app.checks).toEqual({});
    expect((await propose({ 'package.json': '{' })).notes).toContain('not valid JSON');
  });
});

describe('other languages', () => {
  test.each<[string, Record<string, string>, string]>([
    [
      'FastAPI',
      { 'requirements.txt': 'fastapi\nuvicorn', 'main.py': 'api = FastAPI()\n' },
      '.venv/bin/python -m uvicorn main:api --host 0.0.0.0 --port $PORT',
    ],
    [
      'Flask with gunicorn',
      { 'requirements.txt': 'flask==3\ngunicorn==23', 'app.py': 'app = flask.Flask(__name__)' },
      '.venv/bin/python -m gunicorn app:app --bind 0.0.0.0:$PORT',
    ],
    [
      'Flask alone',
      { 'pyproject.toml': 'dependencies = ["flask"]', 'app.py': 'app = Flask(__name__)' },
      '.venv/bin/python -m flask --app app:app run --host 0.0.0.0 --port $PORT',
    ],
    [
      'Django',
      { 'requirements.txt': 'django\ngunicorn', 'manage.py': '', 'site1/wsgi.py': '' },
      '.venv/bin/python -m gunicorn site1.wsgi --bind 0.0.0.0:$PORT',
    ],
    ['a Python file', { 'server.py': '' }, 'python3 server.py'],
    ['Go', { 'go.mod': 'module x', 'main.go': 'package main\n' }, './bin/web'],
    ['Rails', { Gemfile: 'gem "rails"' }, 'bundle exec rails server -b 0.0.0.0 -p $PORT -P $TMPDIR/server.pid'],
    ['Rack', { Gemfile: 'gem "rack"', 'config.ru': '' }, 'bundle exec rackup --host 0.0.0.0 --port $PORT'],
    ['a static site', { 'public/index.html': '<p>hi' }, 'exec python3 -m http.server $PORT --directory public'],
  ])('%s', async (_, files, start) => {
    const { app } = await propose(files);
    expect(app.services).toMatchObject({ web: { run: start, route: '/' } });
  });

  test('Django migrates before each deploy', async () => {
    const { app } = await propose({ 'requirements.txt': 'django\npytest', 'manage.py': '' });
    expect(app.jobs).toMatchObject({
      migrate: { when: 'before-deploy', run: '.venv/bin/python manage.py migrate --noinput' },
    });
    expect(app.checks).toMatchObject({ test: { run: '.venv/bin/python -m pytest -p no:cacheprovider' } });
  });

  test('each Go command is a service of its own', async () => {
    const main = 'package main\n';
    const { app } = await propose({
      'go.mod': 'module x',
      'cmd/api/main.go': main,
      'cmd/web/main.go': main,
      'cmd/lib/x.go': 'package lib',
    });
    expect(Object.keys(app.services)).toEqual(['api', 'web']);
    expect([app.services['web']?.route, app.services['api']?.route]).toEqual(['/', null]);
    expect(app.services['api']?.build).toBe('go build -o bin/api ./cmd/api && go build -o bin/web ./cmd/web');
  });

  test('a Procfile names the processes, the language how they are built', async () => {
    const { app } = await propose({
      Procfile: 'web: gunicorn x: y # z\nworker: celery -A x\nrelease: ./migrate "a: b"\nClock_1: tick\n',
      'requirements.txt': 'celery',
    });
    expect(app.services).toMatchObject({ web: { run: 'gunicorn x: y # z', build: expect.stringContaining('venv') } });
    expect(app.workers).toMatchObject({ worker: { run: 'celery -A x' }, 'clock-1': { run: 'tick' } });
    expect(app.jobs).toMatchObject({ release: { run: './migrate "a: b"', when: 'before-deploy' } });
  });

  test('only a Dockerfile: its last stage', async () => {
    const { app, notes } = await propose({
      Dockerfile:
        'FROM a AS build\nCMD nothing\nFROM b\nEXPOSE 8080/tcp 9\nENTRYPOINT ["node", \\\n "it\'s me.js"]\nCMD ["--x"]\n',
    });
    expect(app.services).toMatchObject({ web: { run: String.raw`node 'it'\''s me.js' --x`, port: 8080 } });
    expect(notes).toContain('not in a container');
  });
});

describe('several apps in one repository', () => {
  test('a workspace is installed once, and its front is public', async () => {
    const { app, notes } = await propose({
      'package.json': { workspaces: ['apps/*', 'libs/*'], scripts: { test: 'vitest run' } },
      'package-lock.json': '',
      'apps/api/package.json': { name: 'api', scripts: { start: 'node api.js' }, dependencies: { a: '1' } },
      'apps/web/package.json': { name: 'web', scripts: { start: 'vite preview', build: 'vite build', test: 'vitest' } },
      'libs/core/package.json': { name: 'core', main: 'x.ts' },
      'node_modules/x/server.js': '',
    });
    expect(app.services).toMatchObject({
      api: { build: 'npm ci', run: 'cd apps/api && node api.js', route: null },
      web: { build: 'cd apps/web && npm run build', run: 'cd apps/web && npm start', route: '/' },
    });
    expect(app.checks).toMatchObject({ test: { run: 'npm test' }, 'test-web': { run: 'cd apps/web && npm test' } });
    expect(notes).toContain('Only the service "web" is public');
  });

  test('folders without a root, names that meet, and folders with odd names', async () => {
    const { app } = await propose({ 'a b/server.js': '', 'A-B/main.py': '', "it's/index.html": '' });
    expect(Object.values(app.services).map(({ run }) => run)).toEqual([
      'cd A-B && python3 main.py',
      "cd 'a b' && node server.js",
      String.raw`cd 'it'\''s' && exec python3 -m http.server $PORT --directory .`,
    ]);
    expect(Object.keys(app.services)).toEqual(['a-b', 'a-b-2', 'it-s']);
  });
});

describe('what can not be known', () => {
  test('nothing recognisable gives a file that is valid and says so', async () => {
    const { app, notes, yaml } = await propose({ 'README.md': 'hi' }, '2048');
    expect(app.app).toBe('my-app');
    expect(notes).toContain('Nothing was recognised');
    expect(yaml).toContain('# Check: ');
  });

  test.each(['constructor', 'x', 'Ünï çödé', '-', 'localhost', 'a'.repeat(80)])('a folder named %s', async (name) => {
    expect((await propose({ 'server.js': '' }, name)).app.app).toMatch(/^[a-z][a-z0-9-]{0,38}[a-z0-9]$/);
  });

  test.each(['node "a: b" # c', '*x', '- y', '{z}', 'true', '5', "it's\t\u00e9", '%', '@a', '  spaces  ', 'a\\nb'])(
    'a start command %j survives YAML',
    async (command) => {
      const { app } = await propose({ Procfile: `web: ${command}\n` });
      expect(app.services['web']?.run).toBe(command.trim());
    },
  );

  test('an unreadable, huge or binary file says nothing, and is no failure', async () => {
    const files = { 'package.json': 'x'.repeat(300_000), Procfile: '\0\u0001: \n', Dockerfile: 'CMD [', 'go.mod': '' };
    expect((await propose(files)).app.services).toMatchObject({ web: { run: '[' } });
  });
});

test('staging follows the default branch of the repository', async () => {
  const folder = await repository({ 'server.js': '' });
  const git = (...args: string[]) =>
    run('git', ['-C', folder, '-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args]);
  await git('init', '-q', '-b', 'trunk');
  const staging = async () => /staging: \{ branch: (\S+) \}/.exec((await proposeApp(folder)).yaml)?.[1];
  expect(await staging()).toBe('trunk');
  await git('commit', '-q', '--allow-empty', '-m', 'x');
  await git('checkout', '-q', '-b', 'feature/x');
  expect(await staging()).toBe('trunk');
  await git('update-ref', 'refs/remotes/origin/develop', 'HEAD');
  await git('symbolic-ref', 'refs/remotes/origin/HEAD', 'refs/remotes/origin/develop');
  expect(await staging()).toBe('develop');
});
