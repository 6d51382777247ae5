/** A rule as a ClusterRole has it. */
export interface Right {
  apiGroups: readonly string[];
  resources: readonly string[];
  verbs: readonly string[];
}

/**
 * `engine`: without it no environment runs, so it is asked for when a cluster is added. The others belong to what a cluster or an app may do
 * without: `gateway` to clusters with the Gateway API, `exec` and `logs` to looking into pods, `protection` to the policy that guards protected
 * environments, `lease` to several control planes on one cluster.
 */
export type RightFor = 'engine' | 'gateway' | 'exec' | 'logs' | 'protection' | 'lease';

const MAKE = ['get', 'create', 'patch', 'delete', 'list', 'watch'] as const;

/**
 * What Slipway does in a cluster, beside what everybody may. Whoever gives it rights, such as the chart, takes them from here. There is nothing of
 * roles in it: who may make roles and pods may do everything.
 */
export const RIGHTS: readonly (Right & { for: RightFor })[] = [
  { for: 'engine', apiGroups: [''], resources: ['namespaces'], verbs: MAKE },
  {
    for: 'engine',
    apiGroups: [''],
    resources: ['configmaps', 'resourcequotas', 'serviceaccounts', 'services'],
    verbs: MAKE,
  },
  // What an engine has to remember is replaced as a whole, so that two who do it at once notice.
  { for: 'engine', apiGroups: [''], resources: ['secrets'], verbs: [...MAKE, 'update'] },
  { for: 'engine', apiGroups: [''], resources: ['pods'], verbs: [...MAKE, 'deletecollection'] },
  { for: 'engine', apiGroups: [''], resources: ['events', 'nodes'], verbs: ['list', 'watch'] },
  { for: 'engine', apiGroups: ['apps'], resources: ['deployments'], verbs: MAKE },
  { for: 'engine', apiGroups: ['autoscaling'], resources: ['horizontalpodautoscalers'], verbs: MAKE },
  { for: 'engine', apiGroups: ['batch'], resources: ['cronjobs', 'jobs'], verbs: MAKE },
  { for: 'engine', apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: MAKE },
  { for: 'engine', apiGroups: ['networking.k8s.io'], resources: ['ingresses', 'networkpolicies'], verbs: MAKE },
  { for: 'engine', apiGroups: ['networking.k8s.io'], resources: ['ingressclasses'], verbs: ['get', 'list'] },
  { for: 'engine', apiGroups: ['policy'], resources: ['poddisruptionbudgets'], verbs: MAKE },
  {
    for: 'gateway',
    apiGroups: ['gateway.networking.k8s.io'],
    resources: ['gateways'],
    verbs: ['get', 'list', 'watch'],
  },
  { for: 'gateway', apiGroups: ['gateway.networking.k8s.io'], resources: ['httproutes'], verbs: MAKE },
  { for: 'logs', apiGroups: [''], resources: ['pods/log'], verbs: ['get'] },
  // Over a WebSocket it is a GET; newer API servers ask for `create` all the same.
  { for: 'exec', apiGroups: [''], resources: ['pods/exec'], verbs: ['create', 'get'] },
  {
    for: 'protection',
    apiGroups: ['admissionregistration.k8s.io'],
    resources: ['validatingadmissionpolicies', 'validatingadmissionpolicybindings'],
    verbs: MAKE,
  },
  {
    for: 'lease',
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    verbs: ['create', 'get', 'patch', 'update', 'delete'],
  },
];
