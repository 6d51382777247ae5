import { readFile } from 'node:fs/promises';
import { SlipwayError } from '@slipway/app';
import type { Manifest } from '@slipway/kubernetes';
import type { Command } from 'commander';
import { contextOf, type Context } from '../context.ts';
import { errorCode } from '../error-code.ts';
import { objectName } from '../option-values.ts';

interface InstallOptions {
  image?: string;
  name: string;
  namespace: string;
  values?: string;
  storage?: string;
  databaseUrlSecret?: string;
  adminTokenSecret?: string;
  apply?: true;
  kubeconfig?: string;
  context?: string;
}

export function define(command: Command): void {
  command
    .option('--image <image>', 'of Slipway, with its tag or digest, in a registry that the cluster reaches')
    .option('--name <name>', 'of what is installed', 'slipway')
    .option('--namespace <name>', 'in which it runs', 'slipway')
    .option('--values <file>', 'values as the Helm chart has them')
    .option('--storage <size>', 'of the volume (default: 10Gi)')
    .option('--database-url-secret <name>', 'Secret with the URL of your own PostgreSQL, as `url`')
    .option('--admin-token-secret <name>', 'Secret with the administrator’s token, as `token` (default: it is made)')
    .option('--apply', 'apply the objects, instead of printing them')
    .option('--kubeconfig <file>', 'of the cluster, for --apply (default: KUBECONFIG, else ~/.kube/config)')
    .option('--context <name>', 'which context of the kubeconfig (default: the current one)')
    .addHelpText('after', '\nThe same objects as those of the Helm chart in `chart/`, for those who don’t use Helm.')
    .action(async (options: InstallOptions) => {
      const context = contextOf(command);
      await (options.apply === true ? applyAll(context, options) : printAll(context, options));
    });
}

async function printAll(context: Context, options: InstallOptions): Promise<void> {
  if (options.kubeconfig !== undefined || options.context !== undefined)
    throw new SlipwayError('mistake', 'a cluster is named, but nothing is applied', { hint: 'Add --apply.' });
  const { newAdminToken } = await import('../install/installation.ts');
  const { manifest } = await import('@slipway/kubernetes');
  const objects = await objectsOf(options, newAdminToken());
  if (options.adminTokenSecret === undefined)
    process.stderr.write(
      'slipway: the administrator’s token is in it, and is another one each time: --admin-token-secret NAME\n',
    );
  context.print({ apiVersion: 'v1', kind: 'List', items: objects }, manifest(objects).trimEnd());
}

async function applyAll(context: Context, options: InstallOptions): Promise<void> {
  const { flattenKubeconfig, Manifests } = await import('@slipway/kubernetes');
  const { adminTokenSecret, MANAGER, newAdminToken } = await import('../install/installation.ts');
  const kubeconfig = await flattenKubeconfig(options.kubeconfig, options.context ?? null);
  const cluster = await Manifests.open({ name: 'the cluster', kubeconfig });
  try {
    const there = tokenIn(await cluster.read(adminTokenSecret(options.name, options.namespace)));
    const objects = await objectsOf(options, there ?? newAdminToken());
    // In their order: what others refer to comes first.
    for (const object of objects) await cluster.apply(object, MANAGER);
    const { name, namespace } = options;
    const secret = options.adminTokenSecret ?? `${name}-admin-token`;
    context.print(
      { namespace, name, objects: objects.map(nameOf) },
      [
        `${objects.length} objects are applied. Slipway is ready when this returns:`,
        `  kubectl rollout status statefulset/${name} --namespace ${namespace}`,
        'Then, in two terminals:',
        `  kubectl port-forward service/${name} 7300:80 --namespace ${namespace}`,
        `  kubectl get secret ${secret} --namespace ${namespace} --output 'go-template={{.data.token | base64decode}}' | slipway login http://127.0.0.1:7300`,
      ].join('\n'),
    );
  } finally {
    await cluster.close();
  }
}

async function objectsOf(options: InstallOptions, adminToken: string): Promise<Manifest[]> {
  const { installed } = await import('../install/installation.ts');
  const { readValues } = await import('../install/values.ts');
  const given = options.values === undefined ? {} : await valuesIn(options.values);
  if (options.image === undefined && !('image' in given))
    throw new SlipwayError('mistake', 'install needs to know the image', {
      hint: 'Build it from the Dockerfile, push it to a registry of yours, and name it: --image registry.example.com/slipway:1.0',
    });
  const { image, storage, databaseUrlSecret, adminTokenSecret } = options;
  const values = readValues({
    ...given,
    ...(image !== undefined && { image }),
    ...(adminTokenSecret !== undefined && { adminTokenSecret }),
    ...(storage !== undefined && { storage: { ...partOf(given, 'storage'), size: storage } }),
    ...(databaseUrlSecret !== undefined && {
      database: { ...partOf(given, 'database'), urlSecret: databaseUrlSecret },
    }),
  });
  const release = objectName('--name', options.name);
  return installed({ release, namespace: objectName('--namespace', options.namespace), values, adminToken });
}

async function valuesIn(file: string): Promise<Record<string, unknown>> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new SlipwayError('mistake', `--values ${file} can't be read (${errorCode(error)})`, { cause: error });
  });
  const { parse } = await import('yaml');
  let values: unknown;
  try {
    // As Helm reads it.
    values = parse(text, { version: '1.1' });
  } catch (error) {
    throw new SlipwayError('mistake', `${file} is no YAML: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (values === null || values === undefined) return {};
  if (isMapping(values)) return values;
  throw new SlipwayError('mistake', `${file} is no mapping of values`, { hint: 'See chart/values.yaml.' });
}

function partOf(given: Record<string, unknown>, key: string): Record<string, unknown> {
  const part = given[key];
  return isMapping(part) ? part : {};
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function tokenIn(secret: unknown): string | null {
  const data = isMapping(secret) && isMapping(secret['data']) ? secret['data']['token'] : undefined;
  return typeof data === 'string' ? Buffer.from(data, 'base64').toString() : null;
}

function nameOf({ kind, metadata }: Manifest): string {
  return `${kind} ${metadata.name}`;
}
