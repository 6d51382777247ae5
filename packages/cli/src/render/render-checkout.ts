import { resolve } from 'node:path';
import { SlipwayError, type App } from '@slipway/app';
import {
  DEFAULT_TARGET,
  imagesOf,
  isPinned,
  planApp,
  render,
  resolveDigest,
  type KubernetesObject,
  type Target,
} from '@slipway/kubernetes';
import type { EnvironmentTarget } from '../target.ts';
import { headOf, readCheckout, readConfig } from './checkout.ts';
import { dockerLogin } from './docker-login.ts';
import { cidr, objectName, placeIn } from './option-values.ts';

/** As they are on the command line. */
export interface RenderCommandOptions {
  folder: string;
  commit?: string;
  policy?: string;
  domain?: string;
  gateway?: string;
  ingress?: string;
  reach?: string[];
  secret?: string;
  pullSecret?: string;
  /** False with `--no-resolve`. */
  resolve: boolean;
}

/**
 * What an environment of a checkout looks like on Kubernetes. Needs neither a control plane nor a cluster; a registry only for digests.
 *
 * @returns The objects, and what the person should know, a sentence each.
 * @throws {SlipwayError}
 */
export async function renderCheckout(
  target: EnvironmentTarget,
  options: RenderCommandOptions,
): Promise<{ objects: KubernetesObject[]; notes: string[] }> {
  const folder = resolve(options.folder);
  const cluster = targetOf(options);
  const checkout = await readCheckout(folder, target, options.policy ?? null);
  const { app, environment, policy } = checkout;
  const config = readConfig(folder, checkout, target.environment);
  const secret = secretOf(app, config, options);
  const commit = options.commit === undefined ? await headOf(folder) : commitOf(options.commit);
  const own = environment.source === 'pull-requests' ? [] : environment.hosts;
  const plan = planApp(app, {
    environment: target.environment,
    commit,
    config,
    hosts: options.domain === undefined ? own : [...own, `${target.environment}.${app.app}.${options.domain}`],
    ceiling: environment.ceiling,
    images: await pinnedImages(app, commit, options.resolve ? 'by digest' : 'by tag'),
  });
  const objects = render(plan, {
    target: cluster,
    naming: 'stable',
    patches: policy.kubernetes.patches,
    secrets: secret === null ? new Map() : new Map([[1, { kind: 'existing', name: secret }]]),
  });
  return { objects, notes: notesOf(app, secret, { ...checkout, pullRequest: environment.source === 'pull-requests' }) };
}

function targetOf({ gateway, ingress, reach = [], pullSecret }: RenderCommandOptions): Target {
  if (gateway !== undefined && ingress !== undefined)
    throw new SlipwayError('mistake', 'found both --gateway and --ingress, expected the one by which requests come in');
  let { entrance } = DEFAULT_TARGET;
  if (gateway !== undefined) entrance = { kind: 'gateway', ...placeIn('--gateway', gateway) };
  if (ingress !== undefined) {
    const { namespace, name } = placeIn('--ingress', ingress);
    entrance = { kind: 'ingress', namespace, className: name };
  }
  return {
    ...DEFAULT_TARGET,
    entrance,
    reach: reach.map((text) => cidr('--reach', text)),
    pullSecret: pullSecret === undefined ? null : objectName('--pull-secret', pullSecret),
  };
}

/** Values of secrets are not for a file that is printed: it only says who has them. */
function secretOf(app: App, config: Readonly<Record<string, string>>, { secret }: RenderCommandOptions): string | null {
  if (secret !== undefined) return objectName('--secret', secret);
  const urls = Object.values(app.databases).map(({ env }) => env);
  const names = [...new Set([...app.secrets, ...urls])].filter((name) => !Object.hasOwn(config, name));
  if (names.length === 0) return null;
  throw new SlipwayError('mistake', `the app has secrets (${names.join(', ')}), and their values are not printed`, {
    hint: 'Name the Secret in the namespace of the environment that holds them: --secret NAME',
  });
}

function commitOf(text: string): string {
  if (/^[0-9a-f]{7,64}$/.test(text)) return text;
  throw new SlipwayError('mistake', `--commit is '${text}'`, {
    hint: 'Give the hash of a commit, 7 to 64 hexadecimal digits.',
  });
}

async function pinnedImages(app: App, commit: string, how: 'by digest' | 'by tag'): Promise<Map<string, string>> {
  const images = imagesOf(app).filter((image) => !isPinned(image));
  const pinned = await Promise.all(
    images.map(async (image): Promise<[string, string]> => {
      if (how === 'by tag') return [image, `${image}:${commit}`];
      return [image, `${image}@${await resolveDigest(image, commit, { credentials: dockerLogin })}`];
    }),
  );
  return new Map(pinned);
}

function notesOf(
  app: App,
  secret: string | null,
  { policyFrom, pullRequest }: { policyFrom: string | null; pullRequest: boolean },
): string[] {
  return [
    ...(pullRequest && policyFrom === null
      ? [
          'environments and patches are those of this checkout; name the branch whose policy counts with --policy origin/main',
        ]
      : []),
    ...(secret === null && Object.keys(app.workers).length > 0
      ? [
          'workers find their queue by SLIPWAY_QUEUE_URL and SLIPWAY_QUEUE_TOKEN; name the Secret that holds them with --secret NAME',
        ]
      : []),
  ];
}
