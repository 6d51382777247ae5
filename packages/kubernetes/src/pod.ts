import { SlipwayError } from '@slipway/app';
import type { IContainer, IPodTemplateSpec } from 'kubernetes-models/v1';
import { sortedMap } from './kubernetes-object.ts';
import { ownerLabels } from './owner.ts';
import { cpuQuantity, memoryQuantity } from './quantity.ts';
import type { Process, ReleasePart } from './release-part.ts';
import { selectorLabels } from './release-part.ts';
import { literal, shellCommand } from './shell-command.ts';

/** No user of an image: `runAsNonRoot` alone refuses images whose USER is a name, because the kubelet can't tell who that is. */
const USER = 10_001;
/** Of a commit in the label of its version: a label holds 63 characters, and a name by SHA-256 has 64. */
const VERSION_LENGTH = 40;
const TEMPORARY = '/tmp';
const TEMPORARY_SIZE = '1Gi';

export interface Pod {
  process: Process;
  run: string;
  image: string | undefined;
  size: { cpu: number; memory: number };
  /** Variables beside those of the release. */
  variables: Record<string, string>;
  /** Seconds from the beginning of its end until it is killed. */
  graceSeconds: number;
  /** Whether the cluster autoscaler may move it to another node. */
  mayMove: 'yes' | 'no';
  /** Whether it ends by itself. */
  lasts: 'always' | 'until-done';
  /** Ports, probes and hooks. */
  container?: Partial<IContainer>;
}

/**
 * The pods of one process. What is written here keeps the Pod Security Standard `restricted`, and a patch that would break it is refused
 * (`invariants.ts`).
 */
export function podTemplate(
  part: ReleasePart,
  pod: Pod,
): IPodTemplateSpec & { metadata: { labels: Record<string, string> } } {
  const selector = selectorLabels(part, pod.process);
  return {
    metadata: {
      labels: sortedMap({
        ...ownerLabels(part.owner),
        ...selector,
        'app.kubernetes.io/version': part.release.commit.slice(0, VERSION_LENGTH),
      }),
      annotations: {
        // https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md#what-types-of-pods-can-prevent-ca-from-removing-a-node
        'cluster-autoscaler.kubernetes.io/safe-to-evict': pod.mayMove === 'yes' ? 'true' : 'false',
      },
    },
    spec: {
      serviceAccountName: part.owner.app,
      automountServiceAccountToken: false,
      // Otherwise every service of the namespace becomes variables, and one named `api` sets API_PORT.
      enableServiceLinks: false,
      ...(part.target.pullSecret === null ? {} : { imagePullSecrets: [{ name: part.target.pullSecret }] }),
      dnsConfig: { options: [{ name: 'ndots', value: NDOTS }] },
      terminationGracePeriodSeconds: pod.graceSeconds,
      ...(pod.lasts === 'always' ? { topologySpreadConstraints: spread(selector) } : { restartPolicy: 'Never' }),
      securityContext: {
        runAsNonRoot: true,
        runAsUser: USER,
        runAsGroup: USER,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [container(part, pod)],
      volumes: [{ name: 'tmp', emptyDir: { sizeLimit: TEMPORARY_SIZE } }],
    },
  };
}

/**
 * A name with at least so many dots is asked for as it is first. The default of 5 sends `api.stripe.com` through the whole search list
 * before, four names that do not exist, twice each (A and AAAA). With 2 it is one.
 *
 * Addresses of peers are whole names (`api.shop--staging.svc.cluster.local`), which have more dots than 2: one question, with glibc, which
 * would try the search list afterwards (resolv.conf(5); res_context_search in resolv/res_query.c), and with musl, which never does
 * (`if (dots >= conf.ndots || name[l-1]=='.') *search = 0`, src/network/lookup_name.c). So the dot at the end that would say "this is
 * the whole name" gains nothing, and it costs: it is sent along in the Host header and in TLS, where servers and certificates don't
 * expect it. Not 1, because musl would then not find `database.other-namespace`, as people write it.
 */
const NDOTS = '2';

function container(part: ReleasePart, pod: Pod): IContainer {
  const { process, image, size } = pod;
  if (image === undefined)
    throw new SlipwayError(
      'mistake',
      `${process.component} ${process.name} has no image, and Kubernetes runs images only`,
      {
        hint: `Give it one in slipway.yaml, such as image: registry.example.com/${part.owner.app}/${process.name}`,
      },
    );
  const memory = memoryQuantity(size.memory);
  return {
    name: process.name,
    image,
    command: shellCommand(pod.run),
    ...(part.variableSources.length === 0 ? {} : { envFrom: part.variableSources }),
    env: Object.entries(sortedMap({ ...ownVariables(part), ...pod.variables })).map(([name, value]) => ({
      name,
      value: literal(value),
    })),
    // Memory that was not asked for can be taken away by other pods, so all of it is. CPU that nobody uses may be used: no limit.
    resources: { requests: { cpu: cpuQuantity(size.cpu), memory }, limits: { memory } },
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
    },
    volumeMounts: [{ name: 'tmp', mountPath: TEMPORARY }],
    ...pod.container,
  };
}

function ownVariables({ owner, naming, release }: ReleasePart): Record<string, string> {
  return {
    // The user has no entry in the image's /etc/passwd, and nothing but this folder can be written.
    HOME: TEMPORARY,
    SLIPWAY_APP: owner.app,
    SLIPWAY_COMMIT: release.commit,
    SLIPWAY_ENVIRONMENT: owner.environment,
    ...(naming === 'stable' ? {} : { SLIPWAY_RELEASE: `${release.number}` }),
  };
}

/** Over nodes and zones, as far as there is room. Old pods of a rolling update don't count. */
function spread(matchLabels: Record<string, string>) {
  return ['kubernetes.io/hostname', 'topology.kubernetes.io/zone'].map((topologyKey) => ({
    maxSkew: 1,
    topologyKey,
    whenUnsatisfiable: 'ScheduleAnyway' as const,
    labelSelector: { matchLabels: sortedMap(matchLabels) },
    matchLabelKeys: ['pod-template-hash'],
  }));
}
