import { OWNER_LABEL, RIGHTS } from '@slipway/kubernetes';
import { podLabels, podSpec, tokenSecretName } from './pod.ts';
import {
  adminToken,
  both,
  each,
  equal,
  given,
  manager,
  namespace,
  not,
  release,
  text,
  value,
  when,
  type Template,
} from './template.ts';

const NAMESPACE_NAME = 'kubernetes.io/metadata.name';
/** RFC 1918, RFC 6598 (pods of some clouds), link-local addresses (metadata services), and the same of IPv6. */
const NOT_INTERNET_V4 = ['10.0.0.0/8', '100.64.0.0/10', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16'];
const NOT_INTERNET_V6 = ['fc00::/7', 'fe80::/10'];
/** Where the node-local DNS cache listens. */
const NODE_LOCAL_DNS = '169.254.20.10/32';
const HTTP = { name: 'http', port: 80 };
const IN_CLUSTER = given('cluster.name');

/** Everything that is installed, by the name of its file in the chart; in the order in which it is applied. */
export const objects: Readonly<Record<string, Template>> = {
  'service-account': {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: metadata(release),
    automountServiceAccountToken: false,
  },
  'cluster-role': when(IN_CLUSTER, {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: about(clusterWide()),
    rules: RIGHTS.map(({ apiGroups, resources, verbs }) => ({ apiGroups, resources, verbs })),
  }),
  'cluster-role-binding': when(IN_CLUSTER, {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: about(clusterWide()),
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: clusterWide() },
    subjects: [{ kind: 'ServiceAccount', name: release, namespace }],
  }),
  'admin-token': when(not(given('adminTokenSecret')), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: metadata(tokenSecretName),
    type: 'Opaque',
    stringData: { token: adminToken },
  }),
  'network-policy': when(given('networkPolicy.enabled'), {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: metadata(release),
    spec: {
      podSelector: { matchLabels: podLabels },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        { from: callers(), ports: [{ port: 'http', protocol: 'TCP' }] },
        // Requests of environments that may sleep: a gateway may be anywhere, and so may those that ask a Service through it.
        { ports: [{ port: 'activator', protocol: 'TCP' }] },
      ],
      egress: [dns(), internet(), apiServer(), when(given('database.urlSecret'), database()), reach()],
    },
  }),
  service: {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadata(release),
    spec: { selector: podLabels, ports: [{ ...HTTP, targetPort: 'http', protocol: 'TCP' }] },
  },
  'stateful-set': {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: metadata(release),
    spec: {
      // There is never a second pod on the volume, also while the first one's node does not answer.
      replicas: 1,
      serviceName: release,
      selector: { matchLabels: podLabels },
      // Otherwise a pod that does not get ready is waited for by the very change that would mend it.
      podManagementPolicy: 'Parallel',
      template: {
        metadata: {
          labels: podLabels,
          annotations: {
            'kubectl.kubernetes.io/default-container': 'server',
            'cluster-autoscaler.kubernetes.io/safe-to-evict': 'true',
          },
        },
        spec: podSpec,
      },
      // A claim that comes of a template stays when the rest is removed.
      volumeClaimTemplates: when(not(given('storage.existingClaim')), [
        {
          apiVersion: 'v1',
          kind: 'PersistentVolumeClaim',
          metadata: { name: 'data', labels: podLabels },
          spec: {
            accessModes: ['ReadWriteOnce'],
            storageClassName: when(given('storage.className'), value('storage.className')),
            resources: { requests: { storage: value('storage.size') } },
          },
        },
      ]),
    },
  },
  ingress: when(equal('expose.via', 'ingress'), {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { ...metadata(release), annotations: value('expose.annotations') },
    spec: {
      ingressClassName: when(given('expose.className'), value('expose.className')),
      rules: [
        {
          host: host(),
          http: {
            paths: [
              { path: '/', pathType: 'Prefix', backend: { service: { name: release, port: { name: HTTP.name } } } },
            ],
          },
        },
      ],
      tls: when(given('expose.tlsSecret'), [{ hosts: [host()], secretName: value('expose.tlsSecret') }]),
    },
  }),
  'http-route': when(equal('expose.via', 'gateway'), {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: metadata(release),
    spec: {
      parentRefs: [
        {
          namespace: value('expose.gateway.namespace', 'expose.gateway: name the Gateway, with its namespace'),
          name: value('expose.gateway.name', 'expose.gateway: name the Gateway, with its namespace'),
        },
      ],
      hostnames: [host()],
      rules: [
        {
          matches: [{ path: { type: 'PathPrefix', value: '/' } }],
          backendRefs: [{ name: release, port: HTTP.port }],
          // A push, and a stream of events, last as long as they last.
          timeouts: { request: '0s', backendRequest: '0s' },
        },
      ],
    },
  }),
};

function metadata(name: Template) {
  return { ...about(name), namespace };
}

/** Not `managed-by: slipway`: that is the mark by which the engine knows what it made for environments. */
function about(name: Template) {
  return { name, labels: { ...podLabels, 'app.kubernetes.io/managed-by': manager } };
}

/** What belongs to the whole cluster, for an installation in one namespace of it. */
function clusterWide() {
  return text(namespace, '-', release);
}

function host(): Template {
  return value('expose.host', 'expose.host: give the name under which Slipway is reached');
}

/** Workers, whose queues are here, and what brings requests. */
function callers(): Template {
  const entrance = (path: string) => ({
    namespaceSelector: { matchLabels: { [NAMESPACE_NAME]: value(`${path}.namespace`) } },
  });
  return [
    { namespaceSelector: { matchExpressions: [{ key: OWNER_LABEL, operator: 'Exists' }] } },
    when(given('cluster.gateway'), entrance('cluster.gateway')),
    when(given('cluster.ingress'), entrance('cluster.ingress')),
    when(both(equal('expose.via', 'gateway'), given('expose.gateway')), entrance('expose.gateway')),
    when(given('networkPolicy.fromNamespaces'), {
      namespaceSelector: {
        matchExpressions: [{ key: NAMESPACE_NAME, operator: 'In', values: value('networkPolicy.fromNamespaces') }],
      },
    }),
  ];
}

function dns(): Template {
  return {
    to: [
      {
        namespaceSelector: { matchLabels: { [NAMESPACE_NAME]: 'kube-system' } },
        podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
      },
      { ipBlock: { cidr: NODE_LOCAL_DNS } },
    ],
    ports: [
      { port: 53, protocol: 'TCP' },
      { port: 53, protocol: 'UDP' },
    ],
  };
}

/** Registries, forges, packages for builds. */
function internet(): Template {
  return {
    to: [
      { ipBlock: { cidr: '0.0.0.0/0', except: NOT_INTERNET_V4 } },
      { ipBlock: { cidr: '::/0', except: NOT_INTERNET_V6 } },
    ],
  };
}

/** Policies see it at the nodes' addresses, behind its Service. The ports are those of most clusters, of k3s, and of MicroK8s. */
function apiServer(): Template {
  return when(given('networkPolicy.apiServer'), {
    to: [each('networkPolicy.apiServer', (cidr) => ({ ipBlock: { cidr } }))],
    ports: [443, 6443, 16_443].map((port) => ({ port, protocol: 'TCP' })),
  });
}

function database(): Template {
  return {
    to: NOT_INTERNET_V4.filter((cidr) => !cidr.startsWith('169.254.')).map((cidr) => ({ ipBlock: { cidr } })),
    ports: [{ port: 5432, protocol: 'TCP' }],
  };
}

function reach(): Template {
  return when(given('networkPolicy.reach'), {
    to: [each('networkPolicy.reach', (cidr) => ({ ipBlock: { cidr } }))],
  });
}
