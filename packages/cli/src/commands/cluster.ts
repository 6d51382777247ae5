import { isIP } from 'node:net';
import { SlipwayError } from '@slipway/app/errors';
import type { Command } from 'commander';
import type { ApiCluster, ApiClusterReport } from '../api.ts';
import { connect } from '../client.ts';
import { contextOf } from '../context.ts';
import { cidr, objectName, placeIn } from '../option-values.ts';
import { table } from '../table.ts';
import { wholeNumber } from '../target.ts';

interface AddOptions {
  kubeconfig?: string;
  context?: string;
  inCluster?: true;
  gateway?: string;
  ingress?: string;
  gatewaySource?: string[];
  activator?: string;
  domain: string;
  port: string;
  namespace: string;
  url?: string;
  reach?: string[];
  runnerImage?: string;
  pullSecret?: string;
}

export function define(command: Command): void {
  command
    .command('add')
    .description('let environments run on a Kubernetes cluster: engine: NAME')
    .argument('<name>', 'what environments call it')
    .option('--kubeconfig <file>', 'how it is reached (default: KUBECONFIG, else ~/.kube/config)')
    .option('--context <name>', 'which context of the kubeconfig (default: the current one)')
    .option('--in-cluster', 'the cluster that the control plane runs in')
    .option('--gateway <namespace/name>', 'the Gateway by which requests come in (default: the only one there is)')
    .option(
      '--ingress <namespace/class>',
      'for a cluster without the Gateway API: namespace and class of the controller',
    )
    .option('--gateway-source <cidr...>', "networks from which the gateway's requests come, if not from pods beside it")
    .option(
      '--activator <address:port>',
      'where the gateway reaches this control plane for environments that may sleep',
    )
    .option('--domain <domain>', 'environments are ENV.APP.DOMAIN', 'localhost')
    .option('--port <port>', 'port of the gateway, for URLs', '80')
    .option('--namespace <name>', 'of this control plane there; its records are in it', 'slipway')
    .option('--url <url>', 'where workers in the cluster reach the control plane')
    .option('--reach <cidr...>', 'private networks that processes may reach, such as that of a database')
    .option('--runner-image <image>', "Slipway's image, which brings the runner of workers (default: theirs hold it)")
    .option('--pull-secret <name>', 'Secret in each namespace by which images are pulled')
    .copyInheritedSettings(command)
    .action(async (name: string, options: AddOptions) => {
      const context = contextOf(command);
      const body = { kubeconfig: await kubeconfigOf(options), settings: settingsOf(options) };
      const client = await connect(context);
      const report = await client.put<ApiClusterReport>(`/api/clusters/${encodeURIComponent(name)}`, body);
      const nodes = `${report.nodes} ${report.nodes === 1 ? 'node' : 'nodes'}`;
      context.print(
        report,
        [
          `${name} is a cluster with Kubernetes ${report.version} and ${nodes}. Environments run there with engine: ${name}`,
          ...report.notes.map((note) => `note: ${note}`),
        ].join('\n'),
      );
    });
  command
    .command('list')
    .description('list clusters')
    .copyInheritedSettings(command)
    .action(async () => {
      const context = contextOf(command);
      const client = await connect(context);
      const answer = await client.get<{ clusters: ApiCluster[] }>('/api/clusters');
      context.print(answer, clusterTable(answer.clusters));
    });
  command
    .command('remove')
    .description('forget a cluster; what is in it stays')
    .argument('<name>', 'as `cluster list` shows it')
    .copyInheritedSettings(command)
    .action(async (name: string) => {
      const context = contextOf(command);
      const client = await connect(context);
      await client.delete<void>(`/api/clusters/${encodeURIComponent(name)}`);
      context.print({ name, removed: true }, `${name} is no engine any more. What is in it was left as it is.`);
    });
  command.action((_, self: Command) => {
    throw new SlipwayError(
      'mistake',
      self.args[0] === undefined ? 'cluster needs to know what to do' : `cluster can't '${self.args[0]}'`,
      {
        hint: 'Use: slipway cluster add NAME --kubeconfig FILE, slipway cluster list, slipway cluster remove NAME',
      },
    );
  });
  command.allowExcessArguments();
}

async function kubeconfigOf({ inCluster, kubeconfig, context }: AddOptions): Promise<string | null> {
  if (inCluster === true) {
    if (kubeconfig === undefined && context === undefined) return null;
    throw new SlipwayError('mistake', 'found both --in-cluster and a kubeconfig, expected one of them');
  }
  const { flattenKubeconfig } = await import('@slipway/kubernetes');
  return await flattenKubeconfig(kubeconfig, context ?? null);
}

function settingsOf(options: AddOptions): object {
  const { gateway, ingress, gatewaySource = [], activator, domain, port, url, reach = [] } = options;
  const { runnerImage, pullSecret } = options;
  if (gateway !== undefined && ingress !== undefined)
    throw new SlipwayError('mistake', 'found both --gateway and --ingress, expected the one by which requests come in');
  if (url !== undefined && !URL.canParse(url))
    throw new SlipwayError('mistake', `--url is '${url}'`, { hint: 'Give a URL such as https://slipway.example.com' });
  return {
    ...(gateway !== undefined && { gateway: placeIn('--gateway', gateway) }),
    ...(ingress !== undefined && { ingress: placeIn('--ingress', ingress) }),
    sources: gatewaySource.map((text) => cidr('--gateway-source', text)),
    activator: activator === undefined ? null : addressOf('--activator', activator),
    domain,
    port: wholeNumber('--port', port, 1, 65_535),
    namespace: objectName('--namespace', options.namespace),
    controlPlaneUrl: url?.replace(/\/+$/, '') ?? null,
    reach: reach.map((text) => cidr('--reach', text)),
    runnerImage: runnerImage ?? null,
    pullSecret: pullSecret === undefined ? null : objectName('--pull-secret', pullSecret),
  };
}

/** Reads `ADDRESS:PORT`. */
function addressOf(option: string, text: string): { address: string; port: number } {
  const [, address = '', port = ''] = /^\[?([^\]]+?)\]?:(\d{1,5})$/.exec(text) ?? [];
  if (isIP(address) === 0)
    throw new SlipwayError('mistake', `${option} is '${text}'`, {
      hint: 'Give an IP address and a port: 10.0.0.5:8090',
    });
  return { address, port: wholeNumber(option, port, 1, 65_535) };
}

function clusterTable(clusters: ApiCluster[]): string {
  if (clusters.length === 0) return 'There is no cluster. Add one: slipway cluster add NAME --kubeconfig FILE';
  return table(
    ['NAME', 'STATE', 'ENVIRONMENTS', 'ADDED BY'],
    clusters.map(({ name, state, environments, addedBy }) => [
      name,
      state,
      environments.length === 0 ? 'none' : environments.join(', '),
      addedBy,
    ]),
  );
}
