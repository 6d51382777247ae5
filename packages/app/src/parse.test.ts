import { describe, expect, test } from 'vitest';
import { formatProblem, parseApp } from './index.ts';
import type { App } from './index.ts';

const WEB = 'app: shop\nservices:\n  web: { run: node web.js }\n';

function app(text: string, options: { defaultBranch?: string } = {}): App {
  const parsed = parseApp(text, options);
  if (!parsed.ok) throw new Error(parsed.problems.map(formatProblem).join('\n'));
  return parsed.app;
}

function problems(text: string): string[] {
  const parsed = parseApp(text);
  return parsed.ok ? [] : parsed.problems.map(formatProblem);
}

describe('defaults', () => {
  test('the smallest file is a name and one service with its run', () => {
    expect(app('app: shop\nservices: { web: { run: node web.js } }')).toEqual({
      app: 'shop',
      services: {
        web: {
          build: null,
          run: 'node web.js',
          image: null,
          port: null,
          health: null,
          route: '/',
          size: { cpu: 0.25, memory: 268_435_456 },
          replicas: { min: 1, max: 1 },
          needs: [],
          start: 60,
          stop: 30,
        },
      },
      workers: {},
      jobs: {},
      checks: {},
      tools: [],
      config: {},
      secrets: [],
      databases: {},
      environments: {
        staging: environment({ source: 'branch' }),
        preview: environment({ source: 'pull-requests', ttl: 259_200, sleep: 1800 }),
      },
      kubernetes: { patches: [] },
    });
  });

  test('the default staging follows the default branch', () => {
    expect(app(WEB, { defaultBranch: 'trunk' }).environments['staging']?.branch).toBe('trunk');
    expect(app(WEB).environments['staging']?.branch).toBeNull();
  });

  test('only a single service is public by itself, and not when it says route: null', () => {
    const two = app('app: ab\nservices: { web: { run: x }, api: { run: x, route: /api/ } }');
    expect([two.services['web']?.route, two.services['api']?.route]).toEqual([null, '/api']);
    expect(app('app: ab\nservices: { web: { run: x, route: null } }').services['web']?.route).toBeNull();
  });

  test('a worker, its lanes, and jobs', () => {
    const parsed = app(
      'app: ab\nworkers:\n  w: { run: x, normal: { memory: 500Mi, timeout: 20s }, fallback: {} }\n  v: { run: y, rate: 30/m }\njobs:\n  r: { run: z, schedule: "*/5 8-18 * * mon-fri" }\n  m: { run: z, when: before-deploy }\n  h: { run: z }',
    );
    expect(parsed.workers['w']).toMatchObject({
      normal: { cpu: 0.25, memory: 524_288_000, timeout: 20 },
      fallback: { cpu: 0.25, memory: 2_097_152_000, timeout: 200 },
      replicas: { min: 0, max: 20 },
      drain: 60,
      rate: null,
      retries: 5,
      stop: 30,
      process: 'per-task',
      sizes: 'fixed',
      keep: 86_400,
      keyLimit: null,
    });
    expect(parsed.workers['v']).toMatchObject({ fallback: null, rate: 0.5, normal: { timeout: 60 } });
    expect(parsed.jobs['r']).toMatchObject({ when: 'schedule', schedule: '*/5 8-18 * * mon-fri', timeout: 600 });
    expect([parsed.jobs['m']?.when, parsed.jobs['h']?.when]).toEqual(['before-deploy', 'by-hand']);
  });

  test('a worker that is kept alive, with sizes that follow what is measured', () => {
    const { workers } = app('app: ab\nworkers: { w: { run: x, process: kept, sizes: auto, keep: 0s, key-limit: 2 } }');
    expect(workers['w']).toMatchObject({ process: 'kept', sizes: 'auto', keep: 0, keyLimit: 2 });
    expect(workers['w']?.fallback).toEqual({ cpu: 0.25, memory: 4 * 256 * 2 ** 20, timeout: 600 });
  });

  test('config keeps values as they were written', () => {
    const config = app(`${WEB}config: { V: 1.10, B: True, H: 0x10, E: "", N: &n 007, M: *n }`).config;
    expect(config).toEqual({ V: '1.10', B: 'True', H: '0x10', E: '', N: '007', M: '007' });
  });

  test('anchors and merge keys', () => {
    const parsed = app(
      'app: ab\nservices:\n  one: &base { run: x, size: { memory: 1Gi } }\n  two: { <<: *base, run: y }',
    );
    expect(parsed.services['two']).toMatchObject({ run: 'y', size: { memory: 2 ** 30 } });
  });

  test('empty sections are no sections, never is null', () => {
    const parsed = app(
      `${WEB}workers:\njobs: {}\nchecks:\nsecrets:\nenvironments:\n  preview: { pull-requests: true, ttl: never, sleep: null }`,
    );
    expect(parsed.environments).toEqual({ preview: environment({ source: 'pull-requests' }) });
  });

  test('a ceiling names what it limits; the rest is limited by the machine', () => {
    const { environments } = app(
      `${WEB}environments:\n  a: { branch: main, ceiling: { memory: 512Mi } }\n  b: { branch: b, ceiling: { cpu: 500m, memory: 2Gi } }\n  c: { branch: c, ceiling: }`,
    );
    expect(Object.values(environments).map(({ ceiling }) => ceiling)).toEqual([
      { cpu: null, memory: 2 ** 29 },
      { cpu: 0.5, memory: 2 ** 31 },
      { cpu: null, memory: null },
    ]);
  });
});

function environment(over: object): object {
  return {
    source: 'branch',
    branch: null,
    from: null,
    approve: false,
    protected: false,
    traffic: [100],
    hold: 300,
    hosts: [],
    ttl: null,
    sleep: null,
    ceiling: { cpu: null, memory: null },
    engine: 'machine',
    ...over,
  };
}

describe('mistakes', () => {
  test('an unknown key names its place, what may stand there, and the nearest', () => {
    expect(problems('app: shop\nservices:\n  web:\n    run: node x.js\n    prots: 3\n')).toEqual([
      'slipway.yaml:5:5 services.web.prots: unknown key "prots", expected one of "build", "run", "image", "port", "health", "route", "size", "replicas", "needs", "start", "stop"; did you mean "port"?',
    ]);
  });

  test.each([
    ['app: ab\nservices: { w: { rnu: x } }', 'slipway.yaml:2:18 services.w.rnu: unknown key "rnu"', '"run"'],
    ['ap: ab\nservices: { w: { run: x } }', 'slipway.yaml:1:1 ap: unknown key "ap"', '"app"'],
    ['app: ab\nservces: { w: { run: x } }', 'slipway.yaml:2:1 servces: unknown key "servces"', '"services"'],
    [
      'app: ab\njobs: { j: { run: x } }\nenvironments: { a: { brnch: x } }',
      'environments.a.brnch: unknown key "brnch"',
      '"branch"',
    ],
  ])('a misspelt key is told once, not as missing, too: %j', (text, beginning, meant) => {
    const found = problems(text);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(beginning);
    expect(found[0]).toContain(`did you mean ${meant}?`);
  });

  test('a misspelt key does not hide that another one is missing', () => {
    expect(problems('services: { w: { prot: 80 }, v: { rnu: x } }')).toMatchObject([
      expect.stringContaining('app: is missing'),
      expect.stringContaining('services.w.run: is missing'),
      expect.stringContaining('unknown key "prot"'),
      expect.stringContaining('unknown key "rnu"'),
    ]);
  });

  test.each<[string, string, string]>([
    // [what is added to the smallest file or the whole file when it begins with app:, position, part of the message]
    ['app: shop\nservces: {}\njobs: { j: { run: x } }', '2:1', 'did you mean "services"'],
    ['app: Shop_a\nservices: { w: { run: x } }', '1:6', 'did you mean "shop-a"'],
    ['app: slipway\nservices: { w: { run: x } }', '1:6', 'reserved'],
    ['app: ab\nservices: { W: { run: x } }', '2:13', 'did you mean "w"'],
    ['app: ab\nservices: { constructor: { run: x } }', '2:13', 'reserved'],
    ['app: ab\nservices: { w: { run: 1 } }', '2:23', 'put it in quotes'],
    ['app: ab\nservices: { w: {} }', '2:13', 'is missing, expected a shell command'],
    ['app: ab\nservices:\n  w:\n    run:', '4:5', 'found nothing, expected a shell command'],
    ['app: ab\nservices: []', '2:11', 'found a list, expected a mapping'],
    ['app: ab\nservices: { w: npm start }', '2:16', 'found "npm start", expected a mapping with "build", "run"'],
    ['app: ab', '1:1', 'nothing to run'],
    ['app: ab\nservices: { w: { run: x, port: 70000 } }', '2:32', 'whole number from 1 to 65535'],
    ['app: ab\nservices: { w: { run: x, health: ok } }', '2:34', 'did you mean "/ok"'],
    ['app: ab\nservices: { w: { run: x, route: /a/../b } }', '2:33', 'expected a path'],
    ['app: ab\nservices: { w: { run: x, start: 30 } }', '2:33', 'did you mean "30s"'],
    ['app: ab\nservices: { w: { run: x, start: 0s } }', '2:33', 'at least 0.1s'],
    ['app: ab\nservices: { w: { run: x, size: { memory: 256 } } }', '2:42', 'did you mean "256Mi"'],
    ['app: ab\nservices: { w: { run: x, size: { memory: 2gb } } }', '2:42', 'did you mean "2Gi"'],
    ['app: ab\nservices: { w: { run: x, size: { cpu: 2 cores } } }', '2:39', 'cores such as 0.25'],
    ['app: ab\nservices: { w: { run: x, replicas: 6..2 } }', '2:36', 'did you mean "2..6"'],
    ['app: ab\nservices: { w: { run: x, replicas: 0 } }', '2:36', 'at least 1'],
    ['app: ab\nservices: { w: { run: x, needs: [v] } }', '2:34', 'no other service'],
    ['app: ab\nservices: { w: { run: x, needs: [apo] }, api: { run: x } }', '2:34', 'did you mean "api"'],
    ['app: ab\nservices: { w: { run: x, needs: [w] } }', '2:34', 'itself'],
    ['app: ab\nservices: { a: { run: x, needs: [b] }, b: { run: x, needs: [a] } }', '2:26', 'a needs b needs a'],
    ['app: ab\nservices: { a: { run: x, route: /x }, b: { run: x, route: /x/ } }', '2:59', 'services.a has already'],
    ['app: ab\nservices: { a: { run: x } }\nworkers: { a: { run: x } }', '3:12', 'taken by services.a'],
    ['workers: { w: { run: x, rate: 5 } }', '4:31', 'did you mean "5/s"'],
    ['workers: { w: { run: x, process: keep } }', '4:34', 'found "keep", expected "per-task" or "kept"'],
    ['workers: { w: { run: x, sizes: automatic } }', '4:32', 'found "automatic", expected "fixed" or "auto"'],
    ['workers: { w: { run: x, keep: 24 } }', '4:31', 'did you mean "24s"'],
    ['workers: { w: { run: x, keyLimit: 1 } }', '4:25', 'did you mean "key-limit"'],
    ['workers: { w: { run: x, key-limit: 0 } }', '4:36', 'a whole number from 1 to 1000'],
    ['workers: { w: { run: x, normal: { memory: 1Gi }, fallback: { memory: 2Mi } } }', '4:70', 'less memory'],
    ['jobs: { j: { run: x, when: before-deplyo } }', '4:28', 'did you mean "before-deploy"'],
    ['jobs: { j: { run: x, when: by-hand, schedule: "0 0 * * *" } }', '4:22', 'both when and schedule'],
    ['jobs: { j: { run: x, schedule: "0 0 30 2 *" } }', '4:32', 'never comes'],
    ['jobs: { j: { run: x, schedule: "61 0 * * *" } }', '4:32', '"61" is no valid minute'],
    ['jobs: { j: { run: x, schedule: "0 0 * *" } }', '4:32', 'it has 4 fields'],
    ['jobs:\n  j:\n    run: x\n    schedule: */5 * * * *', '7:19', 'expected quotes around it'],
    ['checks: { tools: sometimes }', '4:18', 'expected auto or a list'],
    ['checks: { test: { command: x, run: x } }', '4:19', 'did you mean "run"'],
    ['config: { PORT: 1 }', '4:11', 'Slipway sets it'],
    ['config: { SLIPWAY_URL: 1 }', '4:11', 'reserved for Slipway'],
    ['config: { A-B: 1 }', '4:11', 'did you mean "A_B"'],
    ['config: { A: }', '4:11', 'write "" for an empty value'],
    ['config: { A: 1 }\nsecrets: [A]', '5:11', 'also in config'],
    ['secrets: [A, A]', '4:14', 'also in secrets'],
    ['config: { A: 1 }\ndatabases: { m: { env: A } }', '5:24', 'also in config'],
    ['databases: { m: { env: A }, n: { env: A } }', '4:39', 'also the variable of the database "m"'],
    ['secrets: [A]\ndatabases: { m: { env: A }, n: { env: A } }', '5:39', 'also the variable of the database "m"'],
    ['databases: { m: { env: A, engine: postgers } }', '4:35', 'did you mean "postgres"'],
    [
      'app: ab\nservices: { a: { run: x, needs: [b-c] }, b-c: { run: x } }\nconfig: { B_C_URL: x }',
      '3:11',
      'the address of the service "b-c"',
    ],
    ['environments: { a: {} }', '4:17', 'has no source'],
    ['environments: { a: { branch: main }, b: { branch: x, from: a } }', '4:54', 'found both branch and from'],
    ['environments: { a: { branch: main }, b: { branch: main } }', '4:51', 'environments.a has already'],
    ['environments: { a: { branch: "x..y" } }', '4:30', 'the name of a branch'],
    ['environments: { a: { pull-requests: true }, b: { pull-requests: true } }', '4:50', 'already'],
    ['environments: { staging: { branch: main }, b: { from: stagign } }', '4:55', 'did you mean "staging"'],
    ['environments: { a: { from: b }, b: { from: a } }', '4:22', 'a from b from a'],
    ['environments: { p: { pull-requests: true }, b: { from: p } }', '4:56', 'many environments'],
    ['environments: { pr-7: { branch: main } }', '4:17', 'reserved for the environment of a pull request'],
    ['environments: { a: { branch: main, traffic: [5%, 5%, 100%] } }', '4:50', 'expected ascending'],
    ['environments: { a: { branch: main, traffic: [5%, 50%] } }', '4:50', 'expected 100%'],
    ['environments: { a: { branch: main, traffic: [] } }', '4:45', 'an empty list'],
    ['environments: { a: { branch: main, traffic: [5, 100%] } }', '4:46', 'did you mean "5%"'],
    ['environments: { a: { branch: main, host: "http://x.y/" } }', '4:42', 'did you mean "x.y"'],
    ['environments: { a: { branch: main, host: [x.y, z] } }', '4:48', 'expected a host name'],
    [
      'environments: { a: { branch: m, host: x.y }, b: { branch: n, host: x.y } }',
      '4:68',
      'environments.a has already',
    ],
    ['environments: { a: { pull-requests: true, host: x.y } }', '4:43', 'leave it out'],
    ['environments: { a: { branch: main, ttl: 3h } }', '4:36', 'leave it out'],
    ['environments: { a: { branch: main, ceiling: 2Gi } }', '4:45', 'expected a mapping with "cpu", "memory"'],
    ['environments: { a: { branch: main, ceiling: { memory: 2 } } }', '4:55', 'a size such as 256Mi'],
    ['environments: { a: { branch: main, ceiling: { cpu: 0 } } }', '4:52', 'cores such as 0.25'],
    ['environments: { a: { branch: main, ceiling: { memroy: 2Gi } } }', '4:47', 'did you mean "memory"'],
    ['environments: { a: { branch: main, approve: yes } }', '4:45', 'did you mean true'],
  ])('%s', (added, position, message) => {
    const found = problems(added.startsWith('app:') ? added : WEB + added);
    expect(found.join('\n')).toContain(message);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(new RegExp(`^slipway\\.yaml:${position} `));
  });

  test('all of them at once, in the order of the file', () => {
    const found = problems('app: A\nservices:\n  web: { runn: x, size: { cpu: no } }\nworkres: {}\nsecrets: [PORT]');
    expect(found.map((line) => line.split(' ')[0])).toEqual([
      'slipway.yaml:1:6',
      'slipway.yaml:3:10',
      'slipway.yaml:3:32',
      'slipway.yaml:4:1',
      'slipway.yaml:5:11',
    ]);
  });

  test('a mistake behind an alias or a merge key is shown where it is written', () => {
    expect(problems('app: ab\nservices:\n  a: &b { run: x, size: { cpu: no } }\n  c: { <<: *b }')).toEqual([
      expect.stringMatching(/^slipway\.yaml:3:32 services\.a\.size\.cpu: /),
    ]);
  });
});

describe('text that is no file of ours', () => {
  test.each<[string, string, string]>([
    ['', '1:1', 'empty file'],
    ['# only a comment\n', '1:1', 'empty file'],
    ['- a', '1:1', 'found a list'],
    ['just text', '1:1', 'found "just text"'],
    ['a: 1\nb:\n\tc: 2', '3:1', 'found a tab'],
    ['a: [1', '1:6', 'not valid YAML'],
    ['a: b: c', '1:4', 'second ": "'],
    ['run: @x', '1:6', 'expected quotes'],
    ['a: 1\n---\nb: 2', '2:1', 'second document'],
    ['a: *nope', '1:4', 'the alias *nope'],
    ['a: &x 1\n<<: *x', '2:5', 'something else than a mapping'],
    ['x: !foo b', '1:4', 'Unresolved tag'],
    ['? [a]\n: b', '1:3', 'as a key'],
    [`${WEB}services: { v: { run: x } }`, '4:1', '"services" is given twice'],
  ])('%j', (text, position, message) => {
    const found = problems(text);
    expect(found[0]).toMatch(new RegExp(`^slipway\\.yaml:${position} `));
    expect(found[0]).toContain(message);
  });

  test.each<[string, string]>([
    ['a file of 300 KiB', 'x'.repeat(300_000)],
    ['nested lists', '['.repeat(200_000)],
    ['nested keys', '? '.repeat(100_000)],
    ['nested mappings', '{a: '.repeat(60_000)],
    [
      'aliases of aliases',
      `a: &a [x, x, x, x, x, x, x, x]\n${Array.from('bcdefghij', String)
        .map((to, i) => `${to}: &${to} [${Array(8).fill(`*${'abcdefghij'[i]}`).join(', ')}]`)
        .join('\n')}`,
    ],
    ['an alias of itself', 'a: &a [*a]\nb: &b { <<: *b }'],
    ['thousands of unknown keys', Array.from({ length: 20_000 }, (_, i) => `k${i}: 1`).join('\n')],
    [
      'thousands of services in a row',
      `app: ab\nservices:\n${Array.from({ length: 4000 }, (_, i) => `  s${i}: { run: x, needs: [s${i + 1}] }`).join('\n')}`,
    ],
  ])('%s are answered soon', (_, text) => {
    const started = performance.now();
    expect(problems(text).length).toBeGreaterThan(0);
    expect(problems(text).length).toBeLessThanOrEqual(100);
    expect(performance.now() - started).toBeLessThan(15_000);
  });
});
