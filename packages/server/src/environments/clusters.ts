import { randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import { SlipwayError } from '@slipway/app';
import {
  accessTo,
  DEFAULT_TARGET,
  inspectCluster,
  KubernetesEngine,
  type ClusterReport,
  type Target,
} from '@slipway/kubernetes';
import type { ClusterSettings } from '../api/schemas.ts';
import { row, rows, theRow, transaction, type Database } from '../database/sql.ts';
import { appendEvent, changeChannel } from '../events/append.ts';
import { tokenVariable } from '../workers/queue-access.ts';
import type { EngineSource, Site } from './engines.ts';
import { Fleet } from './fleet.ts';

/** Clusters that environments may name as their engine. Each is a row; the credentials are in it, and never shown again. */

export interface ClusterRow {
  name: string;
  /** null: the cluster that the control plane runs in. */
  kubeconfig: string | null;
  settings: ClusterSettings;
  addedBy: string;
  addedAt: Date;
}
const clusterColumns = `name, kubeconfig, settings, added_by as "addedBy", added_at as "addedAt"`;

export async function listClusters(pool: Database): Promise<ClusterRow[]> {
  return await rows<ClusterRow>(pool, `select ${clusterColumns} from cluster order by name`);
}

/** Names that are engines of another kind. */
const reserved: readonly string[] = ['machine'];

/**
 * Adds a cluster, or changes what is known of one. It is asked first whether it can do what is needed.
 *
 * @throws {SlipwayError} `mistake` when it lacks something, or its credentials a right; `transient` when it can't be reached.
 */
export async function addCluster(
  pool: Pool,
  cluster: Pick<ClusterRow, 'name' | 'kubeconfig' | 'settings'>,
  actor: string,
): Promise<ClusterReport> {
  const { name, kubeconfig, settings } = cluster;
  if (reserved.includes(name))
    throw new SlipwayError('mistake', `${name} is the name of another engine.`, { hint: 'Choose another one.' });
  const report = await inspectCluster({ name, kubeconfig }, targetOf(settings));
  const { entrance } = report;
  const found = entrance.kind === 'gateway' ? { gateway: { namespace: entrance.namespace, name: entrance.name } } : {};
  await transaction(pool, async (client) => {
    await client.query(
      `insert into cluster (name, kubeconfig, settings, added_by) values ($1, $2, $3, $4)
       on conflict (name) do update set kubeconfig = excluded.kubeconfig, settings = excluded.settings`,
      [name, kubeconfig, { ...settings, ...found }, actor],
    );
    await appendEvent(client, {
      kind: 'cluster.added',
      actor,
      message: `The cluster ${name} (Kubernetes ${report.version}) may be the engine of environments.`,
      data: { cluster: name },
    });
    await announceCluster(client, name);
  });
  return report;
}

/** @throws {SlipwayError} `not-found`; `conflict` while environments run there. */
export async function removeCluster(pool: Pool, name: string, actor: string): Promise<void> {
  await transaction(pool, async (client) => {
    const found = await row(client, `select from cluster where name = $1 for update`, [name]);
    if (!found)
      throw new SlipwayError('not-found', `There is no cluster ${name}.`, { hint: 'slipway cluster list shows them.' });
    const used = await rows<{ name: string }>(
      client,
      `select app.name || '/' || environment.name as name from environment join app on app.id = environment.app_id
       where environment.engine = $1 and environment.removal <> 'removed' order by 1`,
      [name],
    );
    if (used.length > 0)
      throw new SlipwayError('conflict', `${used.map((one) => one.name).join(', ')} run on ${name}.`, {
        hint: 'Remove these environments first: slipway remove APP/ENV',
      });
    await client.query(`delete from cluster where name = $1`, [name]);
    await appendEvent(client, {
      kind: 'cluster.removed',
      actor,
      message: `The cluster ${name} is no engine any more. What is in it was left as it is.`,
      data: { cluster: name },
    });
    await announceCluster(client, name);
  });
}

async function announceCluster(db: Database, name: string): Promise<void> {
  await db.query(`select pg_notify('${changeChannel}', 'cluster:' || $1::text)`, [name]);
}

/** Opens the engines of the clusters that are in the database. */
export function clusterSource(pool: Pool, log: (message: string) => void): EngineSource {
  return {
    async names() {
      return (await listClusters(pool)).map(({ name }) => name);
    },
    async open(name): Promise<Site | null> {
      const cluster = await row<ClusterRow>(pool, `select ${clusterColumns} from cluster where name = $1`, [name]);
      if (!cluster) return null;
      const { kubeconfig, settings } = cluster;
      const activator = settings.activator ?? (kubeconfig === null ? ownActivator() : null);
      const engine = new KubernetesEngine({
        name,
        access: async () => await accessTo({ name, kubeconfig }),
        target: { ...DEFAULT_TARGET, ...targetOf(settings), ...(activator && { activator }) },
        key: await namingKey(pool),
        secretNames: () => [tokenVariable],
        ...(activator && { activator: { host: '0.0.0.0', port: activator.port } }),
        report: (problem) => log(`${name}: ${problem}`),
      });
      return {
        engine,
        fleet: new Fleet(engine, log),
        domain: settings.domain,
        port: settings.port === 80 ? '' : `:${settings.port}`,
        controlPlaneUrl: settings.controlPlaneUrl,
      };
    },
  };
}

/** In a pod, where the gateway reaches this very one: nothing is to be configured for environments to sleep. */
function ownActivator(): { address: string; port: number } | null {
  const address = process.env['SLIPWAY_POD_IP'];
  return address === undefined ? null : { address, port: 7390 };
}

/** Names that are made with it can't be guessed. Made once for a database, whoever comes first. */
async function namingKey(pool: Pool): Promise<string> {
  await pool.query(`insert into setting (name, value) values ('kubernetes-key', $1) on conflict (name) do nothing`, [
    randomBytes(32).toString('base64url'),
  ]);
  return (await theRow<{ value: string }>(pool, `select value from setting where name = 'kubernetes-key'`)).value;
}

/** What of the settings the renderer has to know. */
function targetOf({
  gateway,
  ingress,
  sources,
  namespace,
  reach,
  runnerImage,
  pullSecret,
}: ClusterSettings): Partial<Target> {
  return {
    ...(ingress && { entrance: { kind: 'ingress', namespace: ingress.namespace, className: ingress.name } }),
    ...(gateway && { entrance: { kind: 'gateway', ...gateway, ...(sources.length > 0 && { sources }) } }),
    reach,
    controlPlaneNamespace: namespace,
    // A control plane that runs as a container is an image with the runner in it.
    runnerImage: runnerImage ?? process.env['SLIPWAY_IMAGE'] ?? null,
    pullSecret,
  };
}
