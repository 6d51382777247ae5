import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Plan, PlannedService } from '@slipway/engine';
import { render, type KubernetesObject, type Target } from '@slipway/kubernetes';
import { nodeImage, type GivenCluster } from '@slipway/testing/cluster';

/** Answers with its release, and ends when it has answered what it was asked. */
const WEB = `
const http = require('node:http');
const server = http.createServer((request, response) => response.end(process.env.SLIPWAY_RELEASE));
server.listen(process.env.PORT);
process.on('SIGTERM', () => { server.close(() => process.exit(0)); server.closeIdleConnections(); });
`;
const NAMES = ['web', 'api', 'search', 'mail', 'admin'] as const;
/** So small that twenty environments fit on two nodes; memory is what Node.js takes. */
const SIZE = { cpu: 0.01, memory: 128 * 1024 ** 2 };

/** Builds the image of every service and gives it to every node. @returns Its name. */
export async function giveImage(cluster: GivenCluster, folder: string): Promise<string> {
  const work = path.join(folder, 'image');
  await mkdir(work);
  const source = path.join(folder, 'web.js');
  await writeFile(source, WEB);
  const name = `slipway.test/bench-${process.pid}:1`;
  await cluster.addImage({ ...(await nodeImage(name, { '/app/web.js': source })), start: '/app' }, work);
  return name;
}

/**
 * Five services with config; one of them can be reached from outside. None needs another: those that do are started one after the other, which
 * the others here don't do.
 */
export function planOf(environment: string, image: string, release = 1): Plan {
  const services = NAMES.map((name) => serviceOf(name, image));
  return {
    environment,
    generation: release,
    hosts: [hostOf(environment)],
    sleepSeconds: null,
    tasks: 'none',
    releases: [
      {
        number: release,
        commit: release.toString(16).padStart(40, '0'),
        weight: 100,
        artifact: '',
        variables: { LOG_LEVEL: 'info' },
        services,
        workers: [],
      },
    ],
  };
}

export function hostOf(environment: string): string {
  return `${environment.split('/').toReversed().join('.')}.localhost`;
}

export function namespaceOf(environment: string): string {
  return environment.replace('/', '--');
}

function serviceOf(name: string, image: string): PlannedService {
  return {
    name,
    run: 'node web.js',
    image,
    replicas: 1,
    size: SIZE,
    stopSeconds: 5,
    health: '/',
    route: name === 'web' ? '/' : null,
    port: 3000,
    needs: [],
    startSeconds: 60,
    variables: {},
  };
}

/** The objects that the engine makes of a plan, for others to apply; only the word by which it asks the gateway is another one. */
export function objectsOf(plan: Plan, target: Target): KubernetesObject[] {
  return render(plan, {
    target,
    naming: 'per-release',
    patches: [],
    secrets: new Map(),
    probe: '0123456789abcdef',
    // Room in the quota for jobs, as the engine leaves it.
    jobRoom: { pods: 4, cpu: 2, memory: 4 * 1024 ** 3 },
  });
}
