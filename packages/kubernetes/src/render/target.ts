/** What there is to know about a cluster. The rest is in the plan. */
export interface Target {
  /** How requests come in. */
  entrance: Gateway | IngressController;
  /** Suffix of the names of services. */
  clusterDomain: string;
  /** Private networks (CIDR) that processes may reach, such as that of a database. The internet they reach anyway. */
  reach: readonly string[];
  /** Namespace of the control plane, whose queues workers reach. */
  controlPlaneNamespace: string;
  /** Name of a Secret in each environment's namespace by which images are pulled; null: the nodes may pull them. */
  pullSecret: string | null;
  /**
   * Image that brings the runner of workers along, as `/opt/slipway-runner`, with everything it needs; null: the images of workers hold one that
   * is started as `slipway runner`.
   */
  runnerImage: string | null;
  /** Seconds that a pod of a service goes on after its end was asked for, until everything that sends requests has heard of it. Default 10. */
  drainSeconds?: number;
  /** Where requests go that may have to wait until an environment wakes; without it nothing sleeps. */
  activator?: Activator;
}

/** The proxy of Slipway in front of what sleeps, as pods and the gateway reach it. */
export interface Activator {
  /** IP address: an EndpointSlice takes no names. */
  address: string;
  port: number;
}

/** Gateway API. */
export interface Gateway {
  kind: 'gateway';
  namespace: string;
  name: string;
  /** Networks (CIDR) from which its requests come when it does not run in pods of that namespace. */
  sources?: readonly string[];
}

/** For a cluster without the Gateway API. */
export interface IngressController {
  kind: 'ingress';
  className: string;
  /** Where its pods run. */
  namespace: string;
}

export const DEFAULT_TARGET: Target = {
  entrance: { kind: 'gateway', namespace: 'gateway', name: 'gateway' },
  clusterDomain: 'cluster.local',
  reach: [],
  controlPlaneNamespace: 'slipway',
  pullSecret: null,
  runnerImage: null,
};
