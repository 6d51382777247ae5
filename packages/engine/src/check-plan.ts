import { SlipwayError } from '@slipway/app';
import type { Plan, PlannedService } from './plan.ts';

/** What every engine asks of a plan. @throws {SlipwayError} `mistake` when the plan contradicts itself, so that it could never become true. */
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
      const unknown = service.needs.find((need) => !services.has(need));
      if (unknown !== undefined)
        wrong(`${service.name} of release ${release.number} needs ${unknown}, which is no service of it.`);
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
