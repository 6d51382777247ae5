import { randomFrom } from '@slipway/testing';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { App } from '@slipway/app';
import type { KubernetesObject } from './kubernetes-object.ts';
import { manifest } from './manifest.ts';
import { labelOf } from './names.ts';
import { OWNER_LABEL } from './owner.ts';
import { DIGEST, OPTIONS, app } from './plans-under-test.ts';
import { imagesOf } from './image.ts';
import { planApp } from './plan-app.ts';
import { podLabelsOf, podSpecOf } from './pod-spec.ts';
import { render } from './render.ts';
import { validate } from './schema-under-test.ts';
import { kubernetesSchedule } from './schedule.ts';
import { cpuQuantity, memoryQuantity } from './quantity.ts';

/** What holds for every app, shown with apps made at random; a failure names the seed that repeats it. */

const SEEDS = Array.from({ length: 60 }, (_, seed) => seed);
const LABEL = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;
const TEXTS = [
  '',
  'yes',
  '012',
  '1:20',
  '1e3',
  '0x1f',
  '~',
  'a: b # c',
  '- x',
  'two\nlines\n',
  ' lead',
  '$(PORT) $$',
  'é\u2028\u0085\ufeff',
  '{"a":"b"}',
  "it's",
  '\\',
  'null',
  '=',
  '<<',
];

function makeApp(seed: number): { file: Record<string, unknown>; environment: string } {
  const random = randomFrom(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const pick = <T>(from: readonly T[]): T => from[below(from.length)] as T;
  const name = (prefix: string, index: number): string =>
    `${prefix}${index}${pick(['', '-x', '--y', 'z'.repeat(30), '-'.repeat(20) + 'q'])}`.slice(0, 40).replace(/-+$/, '');
  const names = (prefix: string, least: number): string[] =>
    Array.from({ length: least + below(3) }, (_, index) => name(prefix, index));
  const size = () => ({ cpu: pick([0.01, 0.1, 1.5, '333m']), memory: pick(['1Mi', '300M', '2Gi']) });
  const services = names('s', 1);
  const range = () => pick<unknown>([1, 3, '1..4', '2..2']);
  const file = {
    app: pick(['ab', 'my-shop', 'a'.repeat(40), 'x--y']),
    services: Object.fromEntries(
      services.map((service, index) => [
        service,
        {
          run: pick(['node web.js', 'a && b', 'echo $$ $(date)']),
          image: pick(['shop', 'registry.example.com/a/b', `pinned@${DIGEST}`]),
          ...(random() < 0.5 && { port: 1000 + below(9000) }),
          ...(random() < 0.5 && { health: '/healthz' }),
          ...(random() < 0.5 && { route: `/${index}` }),
          ...(random() < 0.5 && { size: size() }),
          needs: services.slice(0, index).filter(() => random() < 0.5),
          replicas: range(),
          start: pick(['0.1s', '5m']),
          stop: pick(['0s', '2.5s', '1h']),
        },
      ]),
    ),
    workers: Object.fromEntries(
      names('w', 0).map((worker) => [
        worker,
        { run: 'x', image: 'w', ...(random() < 0.5 && { fallback: {} }), replicas: pick(['0..20', 2]) },
      ]),
    ),
    jobs: Object.fromEntries(
      names('j', 0).map((job) => [
        job,
        {
          run: 'x',
          image: 'j',
          size: size(),
          ...pick<object>([{ when: 'before-deploy' }, { schedule: '0 3 * * 5-7' }, {}]),
        },
      ]),
    ),
    config: Object.fromEntries(Array.from({ length: below(4) }, (_, index) => [`V${index}`, pick(TEXTS)])),
  };
  return { file, environment: pick(['staging', 'pr-12', 'e'.repeat(40), 'a--b']) };
}

/** Every mapping with its keys in another order. Lists are as they are: their order may mean something. */
function shuffled(value: unknown, random: () => number): unknown {
  if (Array.isArray(value)) return value.map((one) => shuffled(one, random));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, one]) => ({ key, one: shuffled(one, random), at: random() }));
  return Object.fromEntries(entries.sort((a, b) => a.at - b.at).map(({ key, one }) => [key, one]));
}

function objectsOf(parsed: App, environment: string): KubernetesObject[] {
  const images = new Map(imagesOf(parsed).map((image) => [image, image.includes('@') ? image : `${image}@${DIGEST}`]));
  const plan = planApp(parsed, {
    environment,
    commit: 'c'.repeat(40),
    config: parsed.config,
    hosts: ['b.example.com', 'a.example.com'],
    ceiling: { cpu: 1, memory: 2 ** 30 },
    images,
  });
  return render(plan, OPTIONS);
}

describe.each(SEEDS)('seed %i', (seed) => {
  const { file, environment } = makeApp(seed);
  const parsed = app(JSON.stringify(file));
  const objects = objectsOf(parsed, environment);

  test('the order in which things are named changes nothing', () => {
    const other = app(JSON.stringify(shuffled(file, randomFrom(seed + 1000))));
    expect(manifest(objectsOf(other, environment))).toBe(manifest(objects));
  });

  test('every object is as the schemas say, has an owner and a valid name of its own, and every container sizes', () => {
    const ids = new Set<string>();
    for (const object of objects) {
      validate(object);
      const { name, namespace, labels, annotations } = object.metadata;
      const id = `${object.kind} ${name}`;
      expect(name, id).toMatch(LABEL);
      if (object.kind === 'CronJob') expect(name.length).toBeLessThanOrEqual(52);
      expect(ids.has(id), id).toBe(false);
      ids.add(id);
      const place = labelOf([parsed.app, environment]);
      expect(object.kind === 'Namespace' ? name : namespace).toBe(place);
      expect(labels).toMatchObject({ [OWNER_LABEL]: place, 'app.kubernetes.io/managed-by': 'slipway' });
      expect(annotations?.[OWNER_LABEL]).toBe(`${parsed.app}/${environment}`);
      for (const value of Object.values({ ...labels, ...podLabelsOf(object) }))
        expect(value).toMatch(/^([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?$/);
      const pod = podSpecOf(object);
      if (pod) expectSafe(pod);
    }
  });

  test('the printed file is read as what was meant, by YAML 1.1 and 1.2', () => {
    const text = manifest(objects);
    for (const version of ['1.1', '1.2'] as const) {
      const read = parseAllDocuments(text, { version }).map((document) => document.toJS() as unknown);
      expect(read).toEqual(JSON.parse(JSON.stringify(objects)));
    }
    expect(text).not.toMatch(/[\u0085\u2028\ufeff]/);
  });
});

function expectSafe(pod: NonNullable<ReturnType<typeof podSpecOf>>): void {
  expect(pod).toMatchObject({
    automountServiceAccountToken: false,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
  });
  for (const container of pod.containers) {
    expect(container.image).toMatch(/@sha256:[0-9a-f]{64}$/);
    const { requests, limits } = container.resources ?? {};
    expect(requests?.['cpu']).toMatch(/^\d+m?$/);
    expect(requests?.['memory']).toMatch(/^\d+([KMG]i)?$/);
    expect(limits).toEqual({ memory: requests?.['memory'] });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
    });
    const wait = container.lifecycle?.preStop?.sleep?.seconds ?? 0;
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(wait);
    expect(container.volumeMounts).toContainEqual({ name: 'tmp', mountPath: '/tmp' });
  }
}

test('different things have different names', () => {
  const parts = ['a', 'b', 'a-b', 'a--b', 'b--a', 'a-', 'x'.repeat(40), 'y'.repeat(40)].filter((part) =>
    LABEL.test(part),
  );
  const labels = parts.flatMap((one) => [
    labelOf([one]),
    ...parts.flatMap((two) => [labelOf([one, two]), ...parts.map((three) => labelOf([one, two, three]))]),
  ]);
  expect(new Set(labels).size).toBe(labels.length);
  for (const label of labels) expect(label).toMatch(LABEL);
});

test('sizes are quantities, never less than they were', () => {
  expect([0.01, 0.25, 0.1 + 0.2, 1, 1.5, 0.0001].map(cpuQuantity)).toEqual(['10m', '250m', '300m', '1', '1500m', '1m']);
  expect([2 ** 20, 2 ** 30, 3 * 2 ** 19, 300e6, 1].map(memoryQuantity)).toEqual([
    '1Mi',
    '1Gi',
    '1536Ki',
    '300000000',
    '1',
  ]);
});

test('a schedule has the same days of the week as before', () => {
  const daysOf = (text: string, last: number): number[] => {
    const days = text.split(',').flatMap((part) => {
      const [, first = '', to, step] = /^(\*|\d)(?:-(\d))?(?:\/(\d))?$/.exec(part) ?? [];
      const from = first === '*' ? 0 : Number(first);
      const end = first === '*' || (to === undefined && step !== undefined) ? last : Number(to ?? first);
      return Array.from({ length: end - from + 1 }, (_, index) => from + index).filter(
        (day) => (day - from) % Number(step ?? 1) === 0,
      );
    });
    return [...new Set(days.map((day) => day % 7))].sort((a, b) => a - b);
  };
  const digits = [0, 1, 2, 3, 4, 5, 6, 7];
  const fields = [
    '*',
    ...digits.flatMap((a) => [
      `${a}`,
      `${a}/2`,
      `${a}/3`,
      ...digits.filter((b) => b >= a).flatMap((b) => [`${a}-${b}`, `${a}-${b}/2`, `1,${a}-${b}/3`]),
    ]),
  ];
  for (const field of fields) {
    const days = kubernetesSchedule(`0 3 * * ${field}`).split(' ')[4] ?? '';
    expect(days).not.toContain('7');
    expect(daysOf(days, 6), `${field} as ${days}`).toEqual(daysOf(field, 7));
  }
});
