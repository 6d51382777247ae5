import type { Service } from '@slipway/app';
import type { PlannedService } from './plan.ts';

/** A declared service in a plan, with the fewest instances it may have. */
export function plannedService(name: string, service: Service): PlannedService {
  return {
    name,
    run: service.run,
    replicas: service.replicas.min,
    size: service.size,
    stopSeconds: service.stop,
    health: service.health,
    route: service.route,
    port: service.port,
    needs: service.needs,
    startSeconds: service.start,
    variables: {},
  };
}
