import { createHash } from 'node:crypto';
import { SlipwayError } from '@slipway/app';
import type { Plan, PlannedProcess, PlannedRelease, PlannedService } from '@slipway/engine';
import type { InstanceSpec } from './instance-record.ts';

/** @throws {SlipwayError} `mistake` when the plan contradicts itself, so that it could never become true. */
export function checkPlan(plan: Plan): void {
  const wrong = (what: string): never => {
    throw new SlipwayError('mistake', `The plan ${plan.generation} of ${plan.environment} can't be made true: ${what}`);
  };
  const sum = plan.releases.reduce((total, release) => total + release.weight, 0);
  if (sum !== 0 && Math.abs(sum - 100) > 0.001) wrong(`the weights of its releases sum to ${sum}, not to 100 or 0.`);
  const numbers = plan.releases.map((release) => release.number);
  if (new Set(numbers).size !== numbers.length) wrong('it names a release twice.');
  for (const release of plan.releases) {
    const names = [...release.services, ...release.workers].map((process) => process.name);
    if (new Set(names).size !== names.length) wrong(`release ${release.number} names a service or worker twice.`);
    const services = new Map(release.services.map((service) => [service.name, service]));
    for (const service of release.services) {
      for (const need of service.needs) {
        if (!services.has(need))
          wrong(`${service.name} of release ${release.number} needs ${need}, which is no service of it.`);
      }
      if (needsItself(service, services))
        wrong(`${service.name} of release ${release.number} needs itself, over ${service.needs.join(', ')}.`);
    }
  }
}

function needsItself(service: PlannedService, services: ReadonlyMap<string, PlannedService>): boolean {
  const seen = new Set<string>();
  const open = [...service.needs];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (name === service.name) return true;
    if (seen.has(name)) continue;
    seen.add(name);
    open.push(...(services.get(name)?.needs ?? []));
  }
  return false;
}

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
