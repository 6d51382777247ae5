import { createHash } from 'node:crypto';
import type { PlannedProcess, PlannedRelease, PlannedService } from '@slipway/engine';
import type { InstanceSpec } from './instance-record.ts';

/** Names of the services that others reach through an internal port. */
export function neededServices(releases: readonly PlannedRelease[]): string[] {
  return [...new Set(releases.flatMap((release) => release.services.flatMap((service) => service.needs)))].sort();
}

/**
 * One spec for each service and worker of a release.
 *
 * @param own variables that the agent gives to everything.
 * @param internalPorts the port of every service that is needed.
 */
export function specsOf(
  environment: string,
  release: PlannedRelease,
  own: Readonly<Record<string, string>>,
  internalPorts: Readonly<Record<string, number>>,
): InstanceSpec[] {
  const [app = '', place = ''] = environment.split('/');
  const make = (process: PlannedProcess, service: PlannedService | null): InstanceSpec => {
    const peers = Object.fromEntries(
      (service?.needs ?? []).map((need) => [urlVariable(need), `http://127.0.0.1:${internalPorts[need] ?? 0}`]),
    );
    return {
      key: keyOf(release, process, service),
      environment,
      release: release.number,
      commit: release.commit,
      kind: service === null ? 'worker' : 'service',
      process,
      service,
      artifact: release.artifact,
      variables: {
        ...own,
        ...release.variables,
        ...process.variables,
        ...peers,
        SLIPWAY_APP: app,
        SLIPWAY_ENVIRONMENT: place,
        SLIPWAY_RELEASE: String(release.number),
        SLIPWAY_COMMIT: release.commit,
      },
    };
  };
  return [
    ...release.services.map((service) => make(service, service)),
    ...release.workers.map((worker) => make(worker, null)),
  ];
}

/** `order-api` is reached under `ORDER_API_URL`. */
function urlVariable(service: string): string {
  return `${service.toUpperCase().replaceAll('-', '_')}_URL`;
}

/** What can't change without a new process. Replicas, limits and routes can; what the agent gives to everything is not the plan's. */
function keyOf(release: PlannedRelease, process: PlannedProcess, service: PlannedService | null): string {
  const identity = JSON.stringify([
    process.run,
    release.artifact,
    release.commit,
    sorted({ ...release.variables, ...process.variables }),
    service?.needs ?? null,
  ]);
  return `${release.number}/${process.name}/${createHash('sha256').update(identity).digest('hex').slice(0, 16)}`;
}

function sorted(variables: Record<string, string>): [string, string][] {
  return Object.entries(variables).sort(([a], [b]) => (a < b ? -1 : 1));
}
