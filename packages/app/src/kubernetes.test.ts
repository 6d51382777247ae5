import { describe, expect, test } from 'vitest';
import { formatProblem, parseApp } from './index.ts';
import type { App } from './index.ts';

const WEB = 'app: shop\nservices:\n  web: { run: node web.js }\n';

function app(text: string): App {
  const parsed = parseApp(text);
  if (!parsed.ok) throw new Error(parsed.problems.map(formatProblem).join('\n'));
  return parsed.app;
}

function problems(text: string): string[] {
  const parsed = parseApp(text);
  return parsed.ok ? [] : parsed.problems.map(formatProblem);
}

describe('patches', () => {
  test('are kept as they were written, each with its place', () => {
    const text = `${WEB}kubernetes:
  patches:
    - target: { kind: Deployment, name: web }
      patch: { spec: { template: { spec: { priorityClassName: high } } } }
    - target: { kind: Service }
      patch: [{ op: add, path: /metadata/annotations/a~1b, value: null }]
`;
    expect(app(text).kubernetes.patches).toEqual([
      {
        target: { kind: 'Deployment', name: 'web' },
        patch: { spec: { template: { spec: { priorityClassName: 'high' } } } },
        place: { file: 'slipway.yaml', line: 6, column: 7, path: 'kubernetes.patches[0]' },
      },
      {
        target: { kind: 'Service', name: null },
        patch: [{ op: 'add', path: '/metadata/annotations/a~1b', value: null }],
        place: { file: 'slipway.yaml', line: 8, column: 7, path: 'kubernetes.patches[1]' },
      },
    ]);
  });

  test('of an empty section are none', () => {
    expect(app(`${WEB}kubernetes:\n`).kubernetes).toEqual({ patches: [] });
    expect(app(`${WEB}kubernetes: { patches: }\n`).kubernetes).toEqual({ patches: [] });
  });

  test.each<[string, string]>([
    [
      '{ target: { kind: Deploymnt }, patch: {} }',
      'slipway.yaml:6:25 kubernetes.patches[0].target.kind: found "Deploymnt", expected "CronJob" or "Deployment" or "HTTPRoute" or "HorizontalPodAutoscaler" or "Ingress" or "Job" or "Namespace" or "NetworkPolicy" or "PodDisruptionBudget" or "ResourceQuota" or "Service" or "ServiceAccount"; did you mean "Deployment"?',
    ],
    [
      '{ target: { kind: Job } }',
      'slipway.yaml:6:7 kubernetes.patches[0].patch: is missing, expected a mapping (merged into the object) or a list of JSON patch operations',
    ],
    [
      '{ target: { kind: Job }, patch: text }',
      'slipway.yaml:6:39 kubernetes.patches[0].patch: found "text", expected a mapping (merged into the object) or a list of JSON patch operations',
    ],
    [
      '{ target: { kind: Job }, patch: [text] }',
      'slipway.yaml:6:40 kubernetes.patches[0].patch[0]: found "text", expected an operation such as { op: add, path: /a, value: 1 }',
    ],
    [
      '{ target: { kind: Job }, patch: [{ op: ad, path: /a, value: 1 }] }',
      'slipway.yaml:6:46 kubernetes.patches[0].patch[0].op: found "ad", expected one of add, remove, replace, move, copy, test; did you mean "add"?',
    ],
    [
      '{ target: { kind: Job }, patch: [{ op: remove, path: spec/a }] }',
      'slipway.yaml:6:60 kubernetes.patches[0].patch[0].path: found "spec/a", expected a JSON pointer such as /spec/replicas',
    ],
    [
      '{ target: { kind: Job }, patch: [{ op: move, path: /a }] }',
      'slipway.yaml:6:40 kubernetes.patches[0].patch[0].from: found nothing, expected a JSON pointer such as /spec/replicas',
    ],
    [
      '{ target: { kind: Job }, patch: [{ op: add, path: /a }] }',
      'slipway.yaml:6:40 kubernetes.patches[0].patch[0].value: is missing, expected what to add',
    ],
    [
      '{ target: { kind: Job }, patch: [{ op: remove, path: /a, vale: 1 }] }',
      'slipway.yaml:6:70 kubernetes.patches[0].patch[0].vale: unknown key "vale", expected one of "op", "path", "from", "value"',
    ],
    [
      '{ traget: { kind: Job }, patch: {} }',
      'slipway.yaml:6:9 kubernetes.patches[0].traget: unknown key "traget", expected one of "target", "patch"; did you mean "target"?',
    ],
  ])('%s is a mistake with its place', (patch, message) => {
    expect(problems(`${WEB}kubernetes:\n  patches:\n    - ${patch}\n`)).toEqual([message]);
  });
});

describe('images', () => {
  const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;

  test.each(['web', 'shop/web', 'registry.example.com/shop/web', 'localhost:5000/a_b/c--d.e', `ghcr.io/x/y@${digest}`])(
    '%s is one',
    (image) => {
      expect(app(`app: shop\nservices: { web: { run: x, image: "${image}" } }`).services['web']?.image).toBe(image);
    },
  );

  test.each<[string, string]>([
    [
      'ghcr.io/x/web:latest',
      '; it has the tag "latest": leave it out, because the commit is the tag; to run one fixed image, write ghcr.io/x/web@sha256:DIGEST',
    ],
    [`ghcr.io/x/web:v1@${digest}`, '; it has both a tag and a digest: leave the tag out'],
    ['ghcr.io/x/web@sha256:abc', '; a digest is "sha256:" and 64 hexadecimal digits'],
    ['https://ghcr.io/x/web', '; did you mean "ghcr.io/x/web"?'],
    ['ghcr.io/X/web', '; did you mean "ghcr.io/x/web"?'],
    ['ghcr.io//web', ''],
    ['-web', ''],
  ])('%s is a mistake', (image, hint) => {
    const found = image.length > 60 ? `${image.slice(0, 57)}...` : image;
    expect(problems(`app: shop\nservices: { web: { run: x, image: "${image}" } }`)).toEqual([
      `slipway.yaml:2:35 services.web.image: found "${found}", expected an image name such as registry.example.com/shop/web${hint}`,
    ]);
  });

  test('a service without one can not run on kubernetes', () => {
    const text = `${WEB}  api: { run: x, image: shop/api }\nenvironments:\n  live: { branch: main, engine: kubernetes }\n`;
    expect(problems(text)).toEqual([
      'slipway.yaml:3:3 services.web: has no image, but environments.live runs on kubernetes; expected image: with a name such as registry.example.com/shop/web',
    ]);
    expect(problems(text.replace('engine: kubernetes', 'engine: machine'))).toEqual([]);
  });
});
