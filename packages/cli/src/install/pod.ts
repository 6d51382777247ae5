import { given, json, namespace, not, release, text, value, valueOr, when, type Template } from './template.ts';

/** In which order the containers of the pod start, and end in reverse: `postgres`, `agent`, `server`. */

/** As the Dockerfile makes it. It has a name there, without which initdb does not run. */
const USER = 10_001;
const HOME = '/var/lib/slipway';
const SERVER_PORT = 7300;
const ROUTER_PORT = 7380;
/** The server knows it as well: see `ownActivator`. */
const ACTIVATOR_PORT = 7390;
/** Where client libraries, and ours, look for it. */
const ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';
const TOKEN_FOLDER = '/etc/slipway/admin-token';

/** Of the control plane's pod, beside those that everything has. */
export const podLabels = { 'app.kubernetes.io/name': 'slipway', 'app.kubernetes.io/instance': release };

/** The Secret with the administrator's token. */
export const tokenSecretName = text(release, '-admin-token');

const OWN_DATABASE = not(given('database.urlSecret'));

/**
 * The control plane and what it needs beside it. Containers and not one `slipway up`, so that each has its own memory limit (a container that takes
 * too much is killed as a whole, and a build must not take PostgreSQL with it), its own log and its own secrets: what builds run has neither the
 * account of the cluster, nor the token, nor the database, nor the repositories of others.
 */
export const podSpec: Template = {
  serviceAccountName: release,
  automountServiceAccountToken: false,
  enableServiceLinks: false,
  imagePullSecrets: value('imagePullSecrets'),
  nodeSelector: value('nodeSelector'),
  tolerations: value('tolerations'),
  priorityClassName: value('priorityClassName'),
  // The agent lets what it runs come to its end.
  terminationGracePeriodSeconds: 60,
  securityContext: {
    runAsNonRoot: true,
    runAsUser: USER,
    runAsGroup: USER,
    fsGroup: USER,
    // Otherwise every start walks through all repositories.
    fsGroupChangePolicy: 'OnRootMismatch',
    seccompProfile: { type: 'RuntimeDefault' },
  },
  initContainers: [
    {
      // Mounted below; a folder that the kubelet makes for a mount belongs to root.
      ...container(
        'folders',
        `mkdir -p ${['agent', 'artifacts', 'postgres'].map((name) => `${HOME}/data/${name}`).join(' ')}`,
      ),
      resources: value('resources.postgres'),
      volumeMounts: [{ name: 'data', mountPath: HOME }],
    },
    when(OWN_DATABASE, {
      ...container('postgres', 'slipway postgres'),
      restartPolicy: 'Always',
      resources: value('resources.postgres'),
      volumeMounts: [{ name: 'postgres-home', mountPath: HOME }, tmp('postgres'), part('postgres')],
      // The line by which pg_ctl, too, sees that connections are taken.
      startupProbe: probe(
        { exec: { command: ['grep', '-q', '^ready', `${HOME}/data/postgres/data/postmaster.pid`] } },
        150,
      ),
    }),
    {
      ...container('agent', `slipway agent --router-host 0.0.0.0 --router-port ${ROUTER_PORT}`),
      restartPolicy: 'Always',
      resources: value('resources.agent'),
      volumeMounts: [{ name: 'agent-home', mountPath: HOME }, tmp('agent'), part('agent'), part('artifacts')],
      startupProbe: probe({ tcpSocket: { port: ROUTER_PORT } }, 60),
      livenessProbe: { tcpSocket: { port: ROUTER_PORT }, periodSeconds: 20, failureThreshold: 6 },
    },
  ],
  containers: [
    {
      ...container(
        'server',
        `slipway server --host 0.0.0.0 --port ${SERVER_PORT} --router-port ${ROUTER_PORT} --admin-token-file ${TOKEN_FOLDER}/token`,
      ),
      args: when(given('cluster.name'), ['--in-cluster', ownCluster()]),
      env: [
        ...environment(),
        // By it the runner gets into the pods of workers.
        { name: 'SLIPWAY_IMAGE', value: value('image') },
        // By it the gateway reaches environments that may sleep.
        { name: 'SLIPWAY_POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
        when(given('database.urlSecret'), {
          name: 'DATABASE_URL',
          valueFrom: { secretKeyRef: { name: value('database.urlSecret'), key: value('database.urlKey') } },
        }),
      ],
      ports: [
        { name: 'http', containerPort: SERVER_PORT },
        { name: 'activator', containerPort: ACTIVATOR_PORT },
      ],
      resources: value('resources.server'),
      volumeMounts: [
        { name: 'data', mountPath: HOME },
        tmp('server'),
        { name: 'admin-token', mountPath: TOKEN_FOLDER, readOnly: true },
        when(given('cluster.name'), { name: 'account', mountPath: ACCOUNT_FOLDER, readOnly: true }),
      ],
      startupProbe: probe({ httpGet: { path: '/healthz', port: 'http' } }, 120),
      readinessProbe: { httpGet: { path: '/healthz', port: 'http' }, periodSeconds: 5 },
      // Not /healthz: what is slow or lacks its database is not mended by a restart.
      livenessProbe: { tcpSocket: { port: 'http' }, periodSeconds: 20, failureThreshold: 6 },
    },
  ],
  volumes: [
    when(given('storage.existingClaim'), {
      name: 'data',
      persistentVolumeClaim: { claimName: value('storage.existingClaim') },
    }),
    {
      name: 'admin-token',
      secret: {
        secretName: valueOr('adminTokenSecret', tokenSecretName),
        items: [{ key: 'token', path: 'token' }],
        defaultMode: 0o440,
      },
    },
    when(given('cluster.name'), {
      name: 'account',
      projected: {
        defaultMode: 0o440,
        sources: [
          { serviceAccountToken: { path: 'token', expirationSeconds: 3600 } },
          { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        ],
      },
    }),
    scratch('server-tmp'),
    scratch('agent-tmp'),
    scratch('agent-home'),
    when(OWN_DATABASE, [scratch('postgres-tmp'), scratch('postgres-home')]),
  ],
};

/** @param command words without spaces in them. */
function container(name: string, command: string) {
  return {
    name,
    image: value('image'),
    command: command.split(' '),
    env: environment(),
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
    },
  };
}

/** Git and npm keep files in HOME. */
function environment() {
  return [
    { name: 'SLIPWAY_HOME', value: HOME },
    { name: 'HOME', value: '/tmp' },
  ];
}

function tmp(name: string) {
  return { name: `${name}-tmp`, mountPath: '/tmp' };
}

/** A folder of the data at the place where the control plane has it, and nothing else of the volume. */
function part(name: string) {
  return { name: 'data', mountPath: `${HOME}/data/${name}`, subPath: `data/${name}` };
}

function scratch(name: string) {
  return { name, emptyDir: { sizeLimit: value('storage.scratch') } };
}

function probe(how: { [key: string]: Template }, seconds: number) {
  return { ...how, periodSeconds: 1, failureThreshold: seconds, timeoutSeconds: 5 };
}

/** What `slipway cluster add --in-cluster` would say of it. */
function ownCluster() {
  return text(
    '{"name":',
    json('cluster.name'),
    ',"settings":{"gateway":',
    json('cluster.gateway'),
    ',"ingress":',
    json('cluster.ingress'),
    ',"domain":',
    json('cluster.domain'),
    ',"port":',
    json('cluster.port'),
    ',"reach":',
    json('cluster.reach'),
    ',"pullSecret":',
    json('cluster.pullSecret'),
    ',"controlPlaneUrl":"http://',
    release,
    '.',
    namespace,
    '.svc.cluster.local","namespace":"',
    namespace,
    '"}}',
  );
}
