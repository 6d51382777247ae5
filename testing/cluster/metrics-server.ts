import { readFileSync } from 'node:fs';
import https from 'node:https';
import { Api } from './api.ts';

/**
 * The metrics API (metrics.k8s.io/v1beta1), as a program: `metrics-server.ts KUBECONFIG CERTIFICATE KEY ADDRESS PORT`. What `kubectl top` and autoscalers
 * read: CPU and memory of nodes and pods, asked of the kubelets at that moment.
 */
const GROUP_VERSION = 'metrics.k8s.io/v1beta1';
const PREFIX = `/apis/${GROUP_VERSION}`;
const WINDOW = '15s';

interface Usage {
  time: string;
  usageNanoCores?: number;
  workingSetBytes?: number;
}

interface Stats {
  cpu?: Usage;
  memory?: Usage;
}

interface Summary {
  node: Stats & { nodeName: string };
  pods: { podRef: { name: string; namespace: string; uid: string }; containers?: (Stats & { name: string })[] }[];
}

interface Named {
  metadata: { name: string; namespace?: string; uid: string; labels?: Record<string, string> };
}

if (import.meta.main) await main(process.argv.slice(2));

async function main([kubeconfig = '', certificate = '', key = '', address = '', port = '']: string[]): Promise<void> {
  const api = await Api.open(kubeconfig);
  const server = https.createServer({ cert: readFileSync(certificate), key: readFileSync(key) });
  server.on('request', (request, response) => {
    void answer(api, new URL(request.url ?? '/', 'https://server'))
      .catch((error: unknown) => ({ status: 500, body: status(500, String(error)) }))
      .then(({ status, body }) => {
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      });
  });
  server.listen(Number(port), address);
}

async function answer(api: Api, { pathname, search }: URL): Promise<{ status: number; body: unknown }> {
  const path = pathname.replace(/\/$/, '');
  if (path === PREFIX) return { status: 200, body: resources() };
  const [, namespace, kind, name] = /^(?:\/namespaces\/([^/]+))?\/(nodes|pods)(?:\/([^/]+))?$/.exec(
    path.startsWith(PREFIX) ? path.slice(PREFIX.length) : '',
  ) ?? [undefined, undefined, undefined, undefined];
  if (kind === undefined) return { status: 404, body: status(404, `${path} is not served`) };
  const within = namespace === undefined ? '' : `/namespaces/${namespace}`;
  const { items } = await api.get<{ items: Named[] }>(`/api/v1${within}/${kind}${search}`);
  const summaries = await readSummaries(api);
  const metrics = kind === 'nodes' ? nodeMetrics(items, summaries) : podMetrics(items, summaries);
  if (name === undefined) {
    const list = kind === 'nodes' ? 'NodeMetricsList' : 'PodMetricsList';
    return { status: 200, body: { kind: list, apiVersion: GROUP_VERSION, metadata: {}, items: metrics } };
  }
  const one = metrics.find(({ metadata }) => metadata.name === name);
  return one === undefined
    ? { status: 404, body: status(404, `there are no metrics of ${name} yet`) }
    : { status: 200, body: one };
}

async function readSummaries(api: Api): Promise<Summary[]> {
  const { items } = await api.get<{ items: Named[] }>('/api/v1/nodes');
  const summaries = items.map(({ metadata }) =>
    // A node that is gone has no metrics; the others do.
    api.get<Summary>(`/api/v1/nodes/${metadata.name}/proxy/stats/summary?only_cpu_and_memory=true`).catch(() => null),
  );
  return (await Promise.all(summaries)).filter((summary) => summary !== null);
}

function nodeMetrics(nodes: Named[], summaries: Summary[]): Metrics[] {
  return nodes.flatMap(({ metadata }) => {
    const summary = summaries.find(({ node }) => node.nodeName === metadata.name);
    const usage = summary === undefined ? null : usageOf(summary.node);
    return usage === null ? [] : [{ ...head('NodeMetrics', metadata, summary?.node.cpu?.time), usage }];
  });
}

function podMetrics(pods: Named[], summaries: Summary[]): Metrics[] {
  const known = new Map(summaries.flatMap((summary) => summary.pods).map((pod) => [pod.podRef.uid, pod]));
  return pods.flatMap(({ metadata }) => {
    const containers = known.get(metadata.uid)?.containers ?? [];
    const used = containers.flatMap((container) => {
      const usage = usageOf(container);
      return usage === null ? [] : [{ name: container.name, usage }];
    });
    if (used.length === 0) return [];
    return [{ ...head('PodMetrics', metadata, containers[0]?.cpu?.time), containers: used }];
  });
}

interface Metrics {
  metadata: { name: string };
}

function head(kind: string, { name, namespace, labels }: Named['metadata'], time: string | undefined): Metrics {
  const metadata = { name, ...(namespace === undefined ? {} : { namespace }), labels: labels ?? {} };
  const timestamp = new Date(time ?? Date.now()).toISOString().replace(/\.\d+Z$/, 'Z');
  return { kind, apiVersion: GROUP_VERSION, metadata, timestamp, window: WINDOW } as Metrics;
}

/** Null until the kubelet has measured it for the first time. */
function usageOf({ cpu, memory }: Stats): { cpu: string; memory: string } | null {
  if (cpu?.usageNanoCores === undefined || memory?.workingSetBytes === undefined) return null;
  return { cpu: `${cpu.usageNanoCores}n`, memory: `${Math.ceil(memory.workingSetBytes / 1_024)}Ki` };
}

function resources(): unknown {
  const resource = (name: string, kind: string, namespaced: boolean) => ({
    name,
    kind,
    namespaced,
    singularName: '',
    verbs: ['get', 'list'],
  });
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: GROUP_VERSION,
    resources: [resource('nodes', 'NodeMetrics', false), resource('pods', 'PodMetrics', true)],
  };
}

function status(code: number, message: string): unknown {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, message };
}
