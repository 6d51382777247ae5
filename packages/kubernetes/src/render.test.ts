import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { manifest } from './manifest.ts';
import { documentedApp, find, objectsOf, OPTIONS, planOf, readApp, app, COMMIT } from './plans-under-test.ts';
import { render } from './render.ts';
import { validate } from './schema-under-test.ts';
import { DEFAULT_TARGET } from './target.ts';

const SMALL = app('app: ab\nservices: { web: { run: x, image: shop/web } }');

describe('snapshots', () => {
  test.each(['staging', 'production', 'pr-12'])('examples/shop, %s', async (environment) => {
    const objects = render(planOf(readApp('examples/shop'), environment, 'examples/shop'), OPTIONS);
    for (const object of objects) validate(object);
    await expect(manifest(objects)).toMatchFileSnapshot(`../snapshots/shop-${environment}.yaml`);
  });

  test('the whole file of the documentation, with secrets that are there already', async () => {
    const objects = objectsOf(documentedApp(), 'production', {
      secrets: new Map([[1, { kind: 'existing', name: 'shop-secrets' }]]),
      target: { ...DEFAULT_TARGET, reach: ['10.20.0.0/16'], pullSecret: 'registry' },
    });
    for (const object of objects) validate(object);
    await expect(manifest(objects)).toMatchFileSnapshot('../snapshots/documented-production.yaml');
  });

  test('two releases with secrets during a rollout', async () => {
    const [old] = planOf(documentedApp(), 'production').releases;
    if (!old) throw new Error('no release');
    const plan = {
      ...planOf(documentedApp(), 'production'),
      releases: [
        { ...old, number: 7, weight: 94.5 },
        {
          ...old,
          number: 8,
          weight: 5.5,
          commit: COMMIT.replace('1', '2'),
          variables: { LOG_LEVEL: 'debug', SLIPWAY_QUEUE_TOKEN: 'slq_1' },
        },
      ],
    };
    const objects = render(plan, {
      ...OPTIONS,
      naming: 'per-release',
      secrets: new Map(
        [7, 8].map((number) => [number, { kind: 'values', values: { STRIPE_KEY: `sk_${number}` }, key: 'k' }]),
      ),
    });
    for (const object of objects) validate(object);
    await expect(manifest(objects)).toMatchFileSnapshot('../snapshots/documented-rollout.yaml');
  });
});

test('the printed file holds the objects, in the order they are applied', () => {
  const objects = objectsOf(readApp('examples/shop'));
  const read = parseAllDocuments(manifest(objects), { version: '1.1' });
  expect(read.map((document) => document.toJS() as unknown)).toEqual(JSON.parse(JSON.stringify(objects)));
  expect([...new Set(objects.map(({ kind }) => kind))]).toEqual([
    'Namespace',
    'NetworkPolicy',
    'ResourceQuota',
    'ServiceAccount',
    'ConfigMap',
    'Job',
    'Service',
    'Deployment',
    'HTTPRoute',
  ]);
});

describe('what has an owner is left to it', () => {
  test('replicas, where an autoscaler has them', () => {
    const objects = objectsOf(
      app('app: ab\nservices: { web: { run: x, image: i, replicas: 2..5 }, api: { run: x, image: i, replicas: 2 } }'),
    );
    expect(find(objects, 'Deployment', 'web').spec).not.toHaveProperty('replicas');
    expect(find(objects, 'HorizontalPodAutoscaler', 'web').spec).toMatchObject({ minReplicas: 2, maxReplicas: 5 });
    expect(find(objects, 'Deployment', 'api').spec?.replicas).toBe(2);
    expect(objects.filter(({ kind }) => kind === 'HorizontalPodAutoscaler')).toHaveLength(1);
    expect(objects.filter(({ kind }) => kind === 'PodDisruptionBudget')).toHaveLength(2);
  });

  test('of a worker, where the queue decides', () => {
    const objects = objectsOf(
      app('app: ab\nworkers: { w: { run: x, image: i, fallback: {} }, v: { run: x, image: i, replicas: 3 } }'),
    );
    expect(find(objects, 'Deployment', 'w--normal').spec).not.toHaveProperty('replicas');
    expect(find(objects, 'Deployment', 'w--fallback').spec).not.toHaveProperty('replicas');
    expect(find(objects, 'Deployment', 'v--normal').spec?.replicas).toBe(3);
  });
});

describe('a process', () => {
  test('has time to end: longer than the wait and its own stop together', () => {
    const spec = find(
      objectsOf(app('app: ab\nservices: { web: { run: x, image: i, stop: 90s } }')),
      'Deployment',
      'web',
    ).spec?.template.spec;
    expect(spec?.containers[0]?.lifecycle).toEqual({ preStop: { sleep: { seconds: 10 } } });
    expect(spec?.terminationGracePeriodSeconds).toBe(105);
  });

  test('is process 1 itself, and gets what its command says', () => {
    const commandOf = (run: string): string[] | undefined =>
      find(objectsOf(app(JSON.stringify({ app: 'ab', services: { web: { run, image: 'i' } } }))), 'Deployment', 'web')
        .spec?.template.spec?.containers[0]?.command;
    expect(commandOf('node web.js --port $PORT')).toEqual(['sh', '-c', 'exec node web.js --port $PORT']);
    for (const run of [
      'cd web && node web.js',
      'A=1 node web.js',
      'exec node web.js',
      '. ./env',
      'a | b',
      'while true; do x; done',
    ])
      expect(commandOf(run)).toEqual(['sh', '-c', run]);
    // Kubernetes would replace $(date) when there is a variable of that name, and $$ always.
    expect(commandOf('echo $$ $(date) $x')).toEqual(['sh', '-c', 'echo $$$ $$(date) $x']);
  });

  test('can be told that its service is elsewhere', () => {
    const objects = objectsOf(
      app(
        'app: ab\nservices: { web: { run: x, image: i, needs: [order-api] }, order-api: { run: x, image: i, port: 3001 } }',
      ),
    );
    const env = find(objects, 'Deployment', 'web').spec?.template.spec?.containers[0]?.env;
    expect(env).toContainEqual({ name: 'ORDER_API_URL', value: 'http://order-api.ab--staging.svc.cluster.local:3001' });
    expect(env).toContainEqual({ name: 'PORT', value: '8080' });
  });

  test('needs a memory class that is said on what makes it', () => {
    const patches = (patch: object) =>
      app(
        JSON.stringify({
          app: 'ab',
          services: { web: { run: 'x', image: 'i' } },
          kubernetes: { patches: [{ target: { kind: 'Deployment' }, patch }] },
        }),
      );
    const classOf = (text: ReturnType<typeof app>) =>
      find(objectsOf(text), 'Deployment', 'web').metadata.annotations?.['slipway.dev/qos-class'];
    expect(classOf(SMALL)).toBe('Burstable');
    expect(
      classOf(
        patches({
          spec: { template: { spec: { containers: [{ name: 'web', resources: { limits: { cpu: '250m' } } }] } } },
        }),
      ),
    ).toBe('Guaranteed');
  });
});

test('a schedule says Sunday as Kubernetes does', () => {
  const scheduleOf = (schedule: string) =>
    find(
      objectsOf(
        app(
          JSON.stringify({
            app: 'ab',
            services: { web: { run: 'x', image: 'i' } },
            jobs: { j: { run: 'x', schedule } },
          }),
        ),
      ),
      'CronJob',
      'j',
    ).spec.schedule;
  expect(scheduleOf('0 3 * * 7')).toBe('0 3 * * 0');
  expect(scheduleOf('0 3 * * 1-7')).toBe('0 3 * * 0,1,2,3,4,5,6');
  expect(scheduleOf('0 3 * * 5/2')).toBe('0 3 * * 0,5');
  expect(scheduleOf('*/5 8-18 7 * mon-fri,0')).toBe('*/5 8-18 7 * mon-fri,0');
});

describe('requests', () => {
  test('come over an Ingress where there is no Gateway API', () => {
    const target = {
      ...DEFAULT_TARGET,
      entrance: { kind: 'ingress' as const, className: 'nginx', namespace: 'ingress-nginx' },
    };
    const objects = objectsOf(SMALL, 'staging', { target });
    for (const object of objects) validate(object);
    expect(objects.some(({ kind }) => kind === 'HTTPRoute')).toBe(false);
    expect(find(objects, 'Ingress', 'web').spec).toEqual({
      ingressClassName: 'nginx',
      rules: [
        {
          host: 'staging.ab.example.com',
          http: {
            paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'web', port: { number: 8080 } } } }],
          },
        },
      ],
    });
    expect(JSON.stringify(find(objects, 'NetworkPolicy', 'service-web'))).toContain('"ingress-nginx"');
  });

  test('are not routed where no release has any', () => {
    const plan = planOf(SMALL, 'staging');
    const asleep = { ...plan, releases: plan.releases.map((release) => ({ ...release, weight: 0 })) };
    expect(render(asleep, OPTIONS).some(({ kind }) => kind === 'HTTPRoute')).toBe(false);
  });
});

describe('mistakes', () => {
  test('no image', () => {
    expect(() => objectsOf(app('app: ab\nservices: { web: { run: x } }'))).toThrow(
      'services.web has no image, and Kubernetes runs images only',
    );
    expect(() => objectsOf(app('app: ab\njobs: { j: { run: x, when: before-deploy } }'))).toThrow(
      'jobs.j has no image, and there is no service whose image it could share',
    );
    expect(() =>
      objectsOf(
        app('app: ab\nservices: { a: { run: x, image: a }, b: { run: x, image: b } }\nworkers: { w: { run: x } }'),
      ),
    ).toThrow('workers.w has no image, and the services have no single one that it could share');
  });

  test('a route without a host', () => {
    expect(() => render({ ...planOf(SMALL, 'staging'), hosts: [] }, OPTIONS)).toThrow(
      'ab/staging has a service with a route, but no host name',
    );
  });

  test('two releases under one name', () => {
    const plan = planOf(SMALL, 'staging');
    const releases = [7, 8].flatMap((number) => plan.releases.map((release) => ({ ...release, number })));
    expect(() => render({ ...plan, releases }, OPTIONS)).toThrow(
      'the plan of ab/staging has the releases 7 and 8, and with stable names there is room for one',
    );
  });
});
