import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatProblem, parseApp, parseConfig, resolveConfig, configPaths } from '@slipway/app';
import type { App } from '@slipway/app';
import type { Plan } from '@slipway/engine';
import { imagesOf } from './image.ts';
import type { KubernetesObject } from './kubernetes-object.ts';
import { planApp } from './plan-app.ts';
import { render } from './render.ts';
import type { RenderOptions } from './render.ts';
import { DEFAULT_TARGET } from './target.ts';

const root = join(import.meta.dirname, '..', '..', '..');
export const COMMIT = '1234567890abcdef1234567890abcdef12345678';
export const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;

export function app(text: string): App {
  const parsed = parseApp(text);
  if (!parsed.ok) throw new Error(parsed.problems.map(formatProblem).join('\n'));
  return parsed.app;
}

export function readApp(folder: string): App {
  return app(readFileSync(join(root, folder, 'slipway.yaml'), 'utf8'));
}

/** The whole file that docs/slipway-yaml.md shows, with one image for all. */
export function documentedApp(): App {
  const page = readFileSync(join(root, 'docs/slipway-yaml.md'), 'utf8');
  const [, whole = ''] = /## A whole file\n\n```yaml\n([\s\S]*?)```/.exec(page) ?? [];
  return app(
    whole
      .replace('registry.example.com/shop/web', 'registry.example.com/shop')
      .replace('{ run: node api.js }', '{ run: node api.js, image: registry.example.com/shop }'),
  );
}

/** A plan with the config of the checkout and every image pinned. */
export function planOf(app: App, environment: string, folder?: string): Plan {
  const policy =
    app.environments[environment] ?? Object.values(app.environments).find(({ source }) => source === 'pull-requests');
  if (!policy) throw new Error(`no environment ${environment}`);
  const layers =
    folder === undefined ? [] : configPaths(environment, policy.source).map((file) => readLayer(app, folder, file));
  return planApp(app, {
    environment,
    commit: COMMIT,
    config: resolveConfig(app, layers),
    hosts: [...policy.hosts, `${environment}.${app.app}.example.com`],
    ceiling: policy.ceiling,
    images: new Map(imagesOf(app).map((image) => [image, `${image}@${DIGEST}`])),
  });
}

function readLayer(app: App, folder: string, file: string): Record<string, string> {
  const path = join(root, folder, file);
  try {
    const parsed = parseConfig(readFileSync(path, 'utf8'), { file, app });
    if (!parsed.ok) throw new Error(parsed.problems.map(formatProblem).join('\n'));
    return parsed.values;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {};
    throw error;
  }
}

/** Renders an app as `slipway render` does. */
export function objectsOf(app: App, environment = 'staging', options: Partial<RenderOptions> = {}): KubernetesObject[] {
  return render(planOf(app, environment), { ...OPTIONS, patches: app.kubernetes.patches, ...options });
}

export const OPTIONS: RenderOptions = { target: DEFAULT_TARGET, naming: 'stable', patches: [], secrets: new Map() };

export function find<K extends KubernetesObject['kind']>(
  objects: readonly KubernetesObject[],
  kind: K,
  name: string,
): KubernetesObject & { kind: K } {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (!found)
    throw new Error(
      `no ${kind} ${name} among ${objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`).join(', ')}`,
    );
  return found as KubernetesObject & { kind: K };
}
