import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { createService, type AddOnOptions } from './add-on.ts';
import { startProgram } from './program.ts';
import type { Releases } from './releases.ts';

const PORT = 10_443;

/** The metrics API, which autoscalers read: registered at the API server, with a small server behind it. */
export async function startMetrics(options: AddOnOptions, releases: Releases): Promise<void> {
  const { api, node, kubeconfig, logs, pki } = options;
  const { certificate, key } = await pki.ca.certify({
    name: 'metrics-server',
    subject: '/CN=metrics-server',
    usage: 'serverAuth',
    alternatives: 'DNS:metrics-server.kube-system.svc',
  });
  const program = path.join(import.meta.dirname, 'metrics-server.ts');
  const server = startProgram({
    name: 'metrics-server',
    program: process.execPath,
    args: [program, kubeconfig, certificate, key, node.address, String(PORT)],
    logs,
    inside: node.holder,
  });
  releases.add('stop the metrics server', () => server.stop());
  await createService(options, { name: 'metrics-server', protocol: 'TCP', port: 443, programPort: PORT });
  await api.create('/apis/apiregistration.k8s.io/v1/apiservices', {
    metadata: { name: 'v1beta1.metrics.k8s.io' },
    spec: {
      group: 'metrics.k8s.io',
      version: 'v1beta1',
      groupPriorityMinimum: 100,
      versionPriority: 100,
      service: { namespace: 'kube-system', name: 'metrics-server', port: 443 },
      caBundle: (await readFile(pki.ca.certificate)).toString('base64'),
    },
  });
}
