import { addressVariable, SlipwayError } from '@slipway/app';
import type { PlannedService } from '@slipway/engine';
import type { IContainer, IProbe } from 'kubernetes-models/v1';
import type { KubernetesObject } from './kubernetes-object.ts';
import { sortedMap } from './kubernetes-object.ts';
import { metadata } from './owner.ts';
import { podTemplate } from './pod.ts';
import type { Process, ReleasePart } from './release-part.ts';
import { processName, selectorLabels } from './release-part.ts';

/** Where a service listens that says nothing about it. It is told in PORT, as everywhere. */
const DEFAULT_PORT = 8080;
/** Seconds until everything that sends requests has heard that a pod goes: endpoints, proxies and gateways learn of it while it ends already. */
const DRAIN_SECONDS = 10;
/** The least that a probe may give, and a process that never answered has no requests to end. */
const LEAST_GRACE_SECONDS = 1;
/** Seconds beyond what a process may take, so that it is never killed while it is within its time. */
export const GRACE_MARGIN_SECONDS = 5;
const PULL_SECONDS = 300;
const CPU_PERCENT = 70;

export function servicePort(service: PlannedService): number {
  return service.port ?? DEFAULT_PORT;
}

/** Deployment and Service; where they apply, what scales it and what keeps a drained node from taking all of it. */
export function serviceObjects(part: ReleasePart, service: PlannedService): KubernetesObject[] {
  const process: Process = { component: 'service', name: service.name };
  const name = processName(part, process);
  const selector = sortedMap(selectorLabels(part, process));
  const about = metadata(part.owner, name, { labels: selector });
  const scaled = service.replicas > 0 && (service.maxReplicas ?? 0) > service.replicas;
  const most = scaled ? (service.maxReplicas ?? 0) : service.replicas;
  const objects: KubernetesObject[] = [
    deployment(part, service, scaled ? null : service.replicas),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: about,
      spec: { selector, ports: [{ name: 'http', port: servicePort(service), targetPort: 'http', protocol: 'TCP' }] },
    },
  ];
  if (scaled) {
    objects.push({
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: about,
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name },
        minReplicas: service.replicas,
        maxReplicas: most,
        metrics: [
          {
            type: 'Resource',
            resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: CPU_PERCENT } },
          },
        ],
      },
    });
  }
  // With one instance there is nothing to keep: a budget would either allow its end or block the drain for ever.
  if (most > 1) {
    objects.push({
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: about,
      spec: { maxUnavailable: 1, unhealthyPodEvictionPolicy: 'AlwaysAllow', selector: { matchLabels: selector } },
    });
  }
  return objects;
}

/** @param replicas null: an autoscaler owns them, and whoever writes the field takes it away from it. */
function deployment(part: ReleasePart, service: PlannedService, replicas: number | null): KubernetesObject {
  const process: Process = { component: 'service', name: service.name };
  const selector = sortedMap(selectorLabels(part, process));
  const port = servicePort(service);
  const drainSeconds = part.target.drainSeconds ?? DRAIN_SECONDS;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadata(part.owner, processName(part, process), { labels: selector }),
    spec: {
      ...(replicas === null ? {} : { replicas }),
      selector: { matchLabels: selector },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: '25%' } },
      progressDeadlineSeconds: Math.ceil(service.startSeconds) + PULL_SECONDS,
      template: podTemplate(part, {
        process,
        run: service.run,
        image: service.image,
        size: service.size,
        variables: { ...service.variables, ...peerAddresses(part, service), PORT: `${port}` },
        graceSeconds: drainSeconds + Math.ceil(service.stopSeconds) + GRACE_MARGIN_SECONDS,
        mayMove: 'yes',
        lasts: 'always',
        container: {
          ports: [{ name: 'http', containerPort: port, protocol: 'TCP' }],
          ...probes(service),
          lifecycle: { preStop: { sleep: { seconds: drainSeconds } } },
        },
      }),
    },
  };
}

/**
 * `health` answers for what the service depends on too, so it decides about requests, not about a restart: when a database is down, restarting
 * everything that needs it makes it worse. Alive is who accepts connections.
 */
function probes(service: PlannedService): Pick<IContainer, 'startupProbe' | 'readinessProbe' | 'livenessProbe'> {
  const open = { tcpSocket: { port: 'http' } };
  const health: Pick<IProbe, 'httpGet' | 'tcpSocket'> =
    service.health === null ? open : { httpGet: { path: service.health, port: 'http' } };
  return {
    startupProbe: {
      ...health,
      periodSeconds: 1,
      timeoutSeconds: 3,
      failureThreshold: Math.max(1, Math.ceil(service.startSeconds)),
      // Nobody sends it requests yet, so it need not be drained: the wait before SIGTERM is cut short.
      terminationGracePeriodSeconds: Math.max(LEAST_GRACE_SECONDS, Math.ceil(service.stopSeconds)),
    },
    readinessProbe: { ...health, periodSeconds: 2, timeoutSeconds: 3, failureThreshold: 3 },
    livenessProbe: { ...open, periodSeconds: 10, timeoutSeconds: 3, failureThreshold: 6 },
  };
}

/** `API_URL` and the like, for the services of the same release that it needs. */
function peerAddresses(part: ReleasePart, service: PlannedService): Record<string, string> {
  return Object.fromEntries(
    service.needs.map((need) => {
      const peer = part.release.services.find(({ name }) => name === need);
      if (!peer)
        throw new SlipwayError(
          'mistake',
          `service ${service.name} needs ${need}, which release ${part.release.number} does not have`,
        );
      const host = `${processName(part, { component: 'service', name: need })}.${part.owner.namespace}.svc.${part.target.clusterDomain}`;
      return [addressVariable(need), `http://${host}:${servicePort(peer)}`];
    }),
  );
}
