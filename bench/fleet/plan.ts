import type { Plan } from '@slipway/engine';
import { DEFAULT_TARGET, type Target } from '@slipway/kubernetes';

/** Objects of one environment: its namespace, quota, account and three policies, config, secret, and the Deployment and Service of one service. */
export const OBJECTS = 10;

/** Nothing is routed, so the cluster needs no gateway. */
export const TARGET: Target = {
  ...DEFAULT_TARGET,
  entrance: { kind: 'ingress', className: 'none', namespace: 'none' },
};

export const SECRET = 'TOKEN';

export function environmentOf(number: number): string {
  return `fleet/env-${number}`;
}

export function namespaceOf(number: number): string {
  return environmentOf(number).replace('/', '--');
}

/** One service without instances: everything about it is real but its pods. */
export function planOf(number: number): Plan {
  return {
    environment: environmentOf(number),
    generation: 1,
    hosts: [`env-${number}.fleet.localhost`],
    sleepSeconds: null,
    tasks: 'none',
    releases: [
      {
        number: 1,
        commit: number.toString(16).padStart(40, '0'),
        weight: 100,
        artifact: '',
        variables: { LOG_LEVEL: 'info', ENVIRONMENT: `${number}`, [SECRET]: `secret of ${number}` },
        services: [
          {
            name: 'web',
            run: 'node web.js',
            image: 'registry.example.com/fleet/web:1',
            replicas: 0,
            size: { cpu: 0.25, memory: 256 * 1024 ** 2 },
            stopSeconds: 5,
            health: '/healthz',
            route: null,
            port: 3000,
            needs: [],
            startSeconds: 20,
            variables: {},
          },
        ],
        workers: [],
      },
    ],
  };
}
