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
  /** Shell words that start the runner of a worker in its image. */
  startRunner: string;
}

/** Gateway API. */
export interface Gateway {
  kind: 'gateway';
  namespace: string;
  name: string;
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
  startRunner: 'slipway runner',
};
