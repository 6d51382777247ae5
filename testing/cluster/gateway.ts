import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { waitFor } from '../src/wait-for.ts';
import type { AddOnOptions } from './add-on.ts';
import { startProgram } from './program.ts';
import type { Releases } from './releases.ts';

/** The class that a Gateway names to be served by Traefik, at port 80 of the first node. */
export const GATEWAY_CLASS = 'traefik';
const CONTROLLER = 'traefik.io/gateway-controller';

interface Definition {
  kind: string;
  metadata: { name: string };
}

/** The Gateway API: its definitions, and Traefik, which serves routes and honours their weights. */
export async function startGateway(parts: string, options: AddOnOptions, releases: Releases): Promise<void> {
  const { api, node, kubeconfig, logs } = options;
  const definitions = await readDefinitions(path.join(parts, 'crds'));
  const collection = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  await Promise.all(definitions.map((definition) => api.create(collection, definition)));
  await waitFor(() => releases.closed || api.get('/apis/gateway.networking.k8s.io/v1/gatewayclasses'), {
    what: 'the Gateway API to be served',
    seconds: 60,
  });
  await api.create('/apis/gateway.networking.k8s.io/v1/gatewayclasses', {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'GatewayClass',
    metadata: { name: GATEWAY_CLASS },
    spec: { controllerName: CONTROLLER },
  });
  const traefik = startProgram({
    name: 'traefik',
    program: path.join(parts, 'traefik'),
    args: [
      `--entrypoints.web.address=${node.address}:80`,
      '--providers.kubernetesgateway=true',
      `--providers.kubernetesgateway.statusaddress.ip=${node.address}`,
      '--global.checknewversion=false',
      '--global.sendanonymoususage=false',
      '--log.level=INFO',
    ],
    env: { KUBECONFIG: kubeconfig },
    logs,
    inside: node.holder,
  });
  releases.add('stop Traefik', () => traefik.stop());
}

async function readDefinitions(folder: string): Promise<Definition[]> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.yaml'));
  const texts = await Promise.all(files.map((name) => readFile(path.join(folder, name), 'utf8')));
  const objects = texts.flatMap((text) => parseAllDocuments(text).map((document) => document.toJS() as unknown));
  return (objects as (Definition | null)[]).filter((object) => object !== null && isDefinition(object)) as Definition[];
}

/** The files also have a policy against older versions, which a new cluster does not need. */
function isDefinition({ kind }: Definition): boolean {
  return kind === 'CustomResourceDefinition';
}
