import type { Json } from './fill.ts';

/** Values that between them take every way through the description, by what they are about. */
export const installations: Readonly<Record<string, Json>> = {
  'the least': { image: 'registry.example.com/slipway:1.0' },
  'a database, a token and a volume of one’s own': {
    image: 'registry.example.com:5000/slipway@sha256:'.concat('0'.repeat(64)),
    imagePullSecrets: [{ name: 'registry' }],
    adminTokenSecret: 'given-token',
    database: { urlSecret: 'shop-db-app', urlKey: 'uri' },
    storage: { existingClaim: 'restored', scratch: '20Gi' },
    networkPolicy: { reach: ['10.20.0.0/16', 'fd00:1::/64'] },
  },
  'a small cluster with Traefik': {
    image: 'slipway:1.0',
    storage: { className: 'local-path', size: '500Mi' },
    cluster: { ingress: { namespace: 'kube-system', name: 'traefik' }, domain: '127.0.0.1.nip.io', port: 8080 },
    expose: { via: 'ingress', host: 'slipway.example.com', className: 'traefik', tlsSecret: 'certificate' },
    resources: { agent: { limits: { cpu: '2', memory: '4Gi' } }, server: { requests: { cpu: '1' } } },
  },
  'a Gateway': {
    image: 'slipway:1.0',
    cluster: { gateway: { namespace: 'gateway', name: 'main' }, reach: ['10.0.0.0/8'], pullSecret: 'registry' },
    expose: { via: 'gateway', host: 'slipway.example.com', gateway: { namespace: 'gateway', name: 'main' } },
    networkPolicy: { fromNamespaces: ['proxies', 'monitoring'] },
    nodeSelector: { disk: 'ssd' },
    tolerations: [{ key: 'dedicated', operator: 'Exists', tolerationSeconds: 30 }],
    priorityClassName: 'important',
  },
  'no engine and no policy': {
    image: 'slipway:1.0',
    cluster: { name: '' },
    networkPolicy: { enabled: false, apiServer: [] },
  },
  'a policy without an API server': { image: 'slipway:1.0', networkPolicy: { apiServer: [] } },
};
