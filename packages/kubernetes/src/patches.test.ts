import { describe, expect, test } from 'vitest';
import { SlipwayError } from '@slipway/app';
import { app, find, objectsOf } from './plans-under-test.ts';
import { validate } from './schema-under-test.ts';

/** A file with one patch; each begins at line 5, column 7. */
function patched(patch: unknown, target: unknown = { kind: 'Deployment', name: 'web' }) {
  return app(
    `app: shop
services: { web: { run: x, image: shop/web, port: 3000, replicas: 1..3, needs: [api] }, api: { run: x, image: shop/api } }
kubernetes:
  patches:
    - ${JSON.stringify({ target, patch })}
`,
  );
}

function refusalOf(patch: unknown, target?: unknown): string {
  try {
    objectsOf(patched(patch, target));
  } catch (error) {
    if (error instanceof SlipwayError && error.kind === 'mistake') return error.message;
    throw error;
  }
  return 'is allowed';
}

const REFUSED = 'slipway.yaml:5:7 kubernetes.patches[0]: is refused for Deployment web: it';
const pod = (spec: unknown) => ({ spec: { template: { spec } } });
const container = (more: object) => pod({ containers: [{ name: 'web', ...more }] });
const context = (securityContext: unknown) => container({ securityContext });

describe('what is written is what is there afterwards', () => {
  test('a strategic merge finds containers, variables, ports, volumes and mounts by their names', () => {
    const objects = objectsOf(
      patched(
        pod({
          priorityClassName: 'high',
          containers: [
            {
              name: 'web',
              env: [
                { name: 'SLIPWAY_APP', value: 'other' },
                { name: 'EXTRA', value: '1' },
                { name: 'HOME', $patch: 'delete' },
              ],
              ports: [
                { containerPort: 3000, name: 'web' },
                { containerPort: 9090, name: 'metrics' },
              ],
              volumeMounts: [{ name: 'cache', mountPath: '/cache' }],
              livenessProbe: null,
              resources: { requests: { cpu: '1' } },
            },
            {
              name: 'sidecar',
              image: 'proxy',
              resources: { requests: { cpu: '10m', memory: '16Mi' }, limits: { memory: '16Mi' } },
              securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
            },
          ],
          volumes: [{ name: 'cache', emptyDir: {} }],
        }),
      ),
    );
    const deployment = find(objects, 'Deployment', 'web');
    validate(deployment);
    const spec = deployment.spec?.template.spec;
    expect(spec).toMatchObject({
      priorityClassName: 'high',
      serviceAccountName: 'shop',
      volumes: [
        { name: 'tmp', emptyDir: { sizeLimit: '1Gi' } },
        { name: 'cache', emptyDir: {} },
      ],
    });
    expect(spec?.containers.map(({ name }) => name)).toEqual(['web', 'sidecar']);
    const [web] = spec?.containers ?? [];
    expect(web?.env?.map(({ name, value }) => `${name}=${value}`)).toEqual([
      'API_URL=http://api.shop--staging.svc.cluster.local:8080',
      'PORT=3000',
      'SLIPWAY_APP=other',
      'SLIPWAY_COMMIT=1234567890abcdef1234567890abcdef12345678',
      'SLIPWAY_ENVIRONMENT=staging',
      'EXTRA=1',
    ]);
    expect(web).not.toHaveProperty('livenessProbe');
    expect(web).toMatchObject({
      ports: [
        { name: 'web', containerPort: 3000, protocol: 'TCP' },
        { name: 'metrics', containerPort: 9090 },
      ],
      resources: { requests: { cpu: '1', memory: '256Mi' }, limits: { memory: '256Mi' } },
      volumeMounts: [
        { name: 'tmp', mountPath: '/tmp' },
        { name: 'cache', mountPath: '/cache' },
      ],
    });
    expect(deployment.spec?.selector).toEqual(find(objectsOf(patched({})), 'Deployment', 'web').spec?.selector);
  });

  test('$patch: replace keeps nothing of what was there', () => {
    const list = container({ env: [{ $patch: 'replace' }, { name: 'ONLY', value: '1' }] });
    const [one] = find(objectsOf(patched(list)), 'Deployment', 'web').spec?.template.spec?.containers ?? [];
    expect(one?.env).toEqual([{ name: 'ONLY', value: '1' }]);
    const mapping = { spec: { strategy: { $patch: 'replace', type: 'Recreate' } } };
    expect(find(objectsOf(patched(mapping)), 'Deployment', 'web').spec?.strategy).toEqual({ type: 'Recreate' });
  });

  test('lists of other kinds are replaced, ports of a service found by their number', () => {
    const service = patched(
      { spec: { ports: [{ port: 3000, appProtocol: 'kubernetes.io/h2c' }] } },
      { kind: 'Service', name: 'web' },
    );
    expect(find(objectsOf(service), 'Service', 'web').spec?.ports).toEqual([
      { name: 'http', port: 3000, targetPort: 'http', protocol: 'TCP', appProtocol: 'kubernetes.io/h2c' },
    ]);
    const policy = patched({ spec: { egress: [{ to: [] }] } }, { kind: 'NetworkPolicy', name: 'allow-internet' });
    expect(find(objectsOf(policy), 'NetworkPolicy', 'allow-internet').spec?.egress).toEqual([{ to: [] }]);
  });

  test('a JSON patch changes every object of a kind, or that of a service', () => {
    const all = [{ op: 'add', path: '/metadata/annotations/a~1b', value: 'c' }];
    const objects = objectsOf(patched(all, { kind: 'Deployment' }));
    for (const name of ['web', 'api'])
      expect(find(objects, 'Deployment', name).metadata.annotations).toMatchObject({ 'a/b': 'c' });
    const one = [{ op: 'replace', path: '/spec/maxReplicas', value: 9 }];
    expect(
      find(objectsOf(patched(one, { kind: 'HorizontalPodAutoscaler', name: 'web' })), 'HorizontalPodAutoscaler', 'web')
        .spec.maxReplicas,
    ).toBe(9);
  });
});

test('a Job can not be changed, so a patch makes another one of it', () => {
  const nameWith = (patch: object) => {
    const text = {
      app: 'ab',
      services: { web: { run: 'x', image: 'i' } },
      jobs: { m: { run: 'x', when: 'before-deploy' } },
      kubernetes: { patches: [{ target: { kind: 'Job', name: 'm' }, patch }] },
    };
    return objectsOf(app(JSON.stringify(text))).find(({ kind }) => kind === 'Job')?.metadata.name;
  };
  expect(nameWith({ spec: { backoffLimit: 1, ttlSecondsAfterFinished: 60 } })).toBe(
    nameWith({ spec: { ttlSecondsAfterFinished: 60, backoffLimit: 1 } }),
  );
  expect(nameWith({ spec: { backoffLimit: 1 } })).not.toBe(nameWith({ spec: { backoffLimit: 2 } }));
});

describe('what Slipway promises is kept: ', () => {
  test.each<[string, unknown, string]>([
    ['the name', { metadata: { name: 'other' } }, 'changes metadata.name, by which the object is found again'],
    [
      'the namespace',
      [{ op: 'replace', path: '/metadata/namespace', value: 'kube-system' }],
      'changes metadata.namespace, by which the object is found again',
    ],
    [
      'the namespace, taken out',
      { metadata: { namespace: null } },
      'changes metadata.namespace, by which the object is found again',
    ],
    ['the object as a whole', [{ op: 'replace', path: '', value: 1 }], 'leaves something else than an object'],
    [
      'the owner',
      { metadata: { labels: { 'slipway.dev/environment': null } } },
      'changes the label slipway.dev/environment, which says whose the object is',
    ],
    [
      'the manager',
      { metadata: { labels: { 'app.kubernetes.io/managed-by': 'Helm' } } },
      'changes the label app.kubernetes.io/managed-by, which says whose the object is',
    ],
    ['labels are texts', { metadata: { labels: { a: 1 } } }, 'leaves metadata.labels with something else than texts'],
    [
      'the owner of pods',
      { spec: { template: { metadata: { labels: { 'slipway.dev/environment': null } } } } },
      'changes the label slipway.dev/environment of the pods, by which they are found',
    ],
    [
      'the selector',
      { spec: { selector: { matchLabels: { a: 'b' } } } },
      'changes spec.selector, by which running pods are found',
    ],
    [
      'who scales',
      { spec: { replicas: 3 } },
      'sets spec.replicas, which is scaled and so owned by something else; change replicas: in slipway.yaml',
    ],
    [
      'the memory limit',
      container({ resources: { limits: null } }),
      'leaves a container "web" that has no memory in resources.limits',
    ],
    [
      'requests',
      container({ resources: { requests: { cpu: null } } }),
      'leaves a container "web" that has no cpu in resources.requests',
    ],
    [
      'no escalation',
      context({ allowPrivilegeEscalation: true }),
      'leaves a container "web" that may get more privileges (allowPrivilegeEscalation)',
    ],
    [
      'no escalation by leaving it out',
      context({ allowPrivilegeEscalation: null }),
      'leaves a container "web" that may get more privileges (allowPrivilegeEscalation)',
    ],
    ['no privileges', context({ privileged: true }), 'leaves a container "web" that is privileged'],
    ['no root', context({ runAsUser: 0 }), 'leaves a container "web" that is root (runAsUser: 0)'],
    [
      'no root for the pod',
      pod({ securityContext: { runAsUser: 0 } }),
      'leaves a container "web" that is root (runAsUser: 0)',
    ],
    [
      'never root',
      pod({ securityContext: { runAsNonRoot: false } }),
      'leaves a container "web" that may be root (runAsNonRoot)',
    ],
    [
      'seccomp',
      pod({ securityContext: { seccompProfile: { type: 'Unconfined' } } }),
      'leaves a container "web" that has no seccomp profile',
    ],
    [
      'no capabilities',
      context({ capabilities: { add: ['SYS_ADMIN', 'NET_BIND_SERVICE'] } }),
      'leaves a container "web" that has the capability SYS_ADMIN',
    ],
    [
      'dropped capabilities',
      context({ capabilities: { drop: [] } }),
      'leaves a container "web" that keeps capabilities (drop: [ALL])',
    ],
    [
      'no port of the node',
      container({ ports: [{ containerPort: 3000, hostPort: 80 }] }),
      'leaves a container "web" that takes a port of the node (hostPort)',
    ],
    ['no host network', pod({ hostNetwork: true }), 'shares hostNetwork with the node'],
    [
      'no host path',
      pod({ volumes: [{ name: 'v', hostPath: { path: '/' } }] }),
      'mounts a path of the node (volume v: hostPath)',
    ],
    [
      'restricted volumes',
      pod({ volumes: [{ name: 'v', nfs: { server: 's', path: '/' } }] }),
      'adds the volume v of the kind nfs, expected one of configMap, csi, downwardAPI, emptyDir, ephemeral, persistentVolumeClaim, projected, secret',
    ],
    [
      'no token',
      pod({ automountServiceAccountToken: true }),
      'gives pods a service-account token (automountServiceAccountToken)',
    ],
    [
      'no token by leaving it out',
      pod({ automountServiceAccountToken: null }),
      'gives pods a service-account token (automountServiceAccountToken)',
    ],
    [
      'no projected token',
      pod({ volumes: [{ name: 'v', projected: { sources: [{ serviceAccountToken: { path: 't' } }] } }] }),
      'gives pods a service-account token (volume v)',
    ],
    ['the account', pod({ serviceAccountName: 'default' }), 'changes serviceAccountName, the account without rights'],
    [
      'containers',
      [{ op: 'replace', path: '/spec/template/spec/containers', value: 'x' }],
      'leaves the pods without a list of containers that each have a name',
    ],
    [
      'no containers',
      [{ op: 'replace', path: '/spec/template/spec/containers', value: [] }],
      'leaves the pods without a list of containers that each have a name',
    ],
  ])('%s', (_, patch, reason) => {
    expect(refusalOf(patch)).toBe(`${REFUSED} ${reason}`);
  });

  test('containers that run first are held to it as well', () => {
    expect(refusalOf(pod({ initContainers: [{ name: 'init', image: 'i' }] })).split('\n')).toEqual(
      [
        'may get more privileges (allowPrivilegeEscalation)',
        'keeps capabilities (drop: [ALL])',
        'has no cpu in resources.requests',
        'has no memory in resources.requests',
        'has no memory in resources.limits',
      ].map((reason) => `${REFUSED} leaves a container "init" that ${reason}`),
    );
  });

  test('the default-deny policy, restricted pods, and the account without a token', () => {
    const place = 'slipway.yaml:5:7 kubernetes.patches[0]: is refused for';
    expect(refusalOf({ spec: { policyTypes: ['Ingress'] } }, { kind: 'NetworkPolicy', name: 'default-deny' })).toBe(
      `${place} NetworkPolicy default-deny: it changes the policy default-deny, without which everything reaches everything`,
    );
    expect(refusalOf({ $patch: 'delete' }, { kind: 'NetworkPolicy', name: 'default-deny' })).toBe(
      `${place} NetworkPolicy default-deny: it has $patch at its top, but whole objects are neither taken out nor replaced`,
    );
    expect(
      refusalOf(
        { metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'privileged' } } },
        { kind: 'Namespace' },
      ),
    ).toBe(
      `${place} Namespace shop--staging: it changes the label pod-security.kubernetes.io/enforce, which keeps pods restricted`,
    );
    expect(refusalOf({ automountServiceAccountToken: true }, { kind: 'ServiceAccount' })).toBe(
      `${place} ServiceAccount shop: it gives pods a service-account token (automountServiceAccountToken)`,
    );
  });
});

describe('a patch that can not be applied says why', () => {
  test.each<[unknown, unknown, string]>([
    [{}, { kind: 'Ingress' }, 'is for the kind Ingress, of which shop/staging has none'],
    [
      {},
      { kind: 'Deployment', name: 'wbe' },
      'is for the Deployment "wbe", but shop/staging has "api", "web"; did you mean "web"?',
    ],
    [
      [{ op: 'remove', path: '/spec/nothing' }],
      undefined,
      'is refused for Deployment web: it finds nothing at "/spec/nothing"',
    ],
    [
      [{ op: 'add', path: '/spec/nothing/x', value: 1 }],
      undefined,
      'is refused for Deployment web: it finds nothing to hold "/spec/nothing/x": add what is above it first',
    ],
    [
      [{ op: 'add', path: '/spec/template/spec/volumes/5', value: {} }],
      undefined,
      'is refused for Deployment web: it finds no place "5" of "/spec/template/spec/volumes/5" in a list of 1',
    ],
    [
      [{ op: 'test', path: '/kind', value: 'Job' }],
      undefined,
      'is refused for Deployment web: it expects another value at "/kind" than there is',
    ],
    [
      pod({ containers: [{ image: 'x' }] }),
      undefined,
      'is refused for Deployment web: it has an element of spec.template.spec.containers without name, by which it is found',
    ],
    [
      { spec: { $retainKeys: ['x'] } },
      undefined,
      'is refused for Deployment web: it has spec.$retainKeys, expected only $patch of the directives',
    ],
    [
      { spec: { $patch: 'remove' } },
      undefined,
      'is refused for Deployment web: it has $patch: "remove" in spec, expected delete, replace or merge',
    ],
  ])('%j', (patch, target, reason) => {
    expect(refusalOf(patch, target)).toBe(`slipway.yaml:5:7 kubernetes.patches[0]: ${reason}`);
  });

  test('with every other patch that can not be', () => {
    const text = `app: ab
services: { web: { run: x, image: i } }
kubernetes:
  patches:
    - { target: { kind: Job }, patch: {} }
    - { target: { kind: Deployment }, patch: { spec: { template: { spec: { hostPID: true } } } } }
`;
    expect(() => objectsOf(app(text))).toThrow(
      'slipway.yaml:5:7 kubernetes.patches[0]: is for the kind Job, of which ab/staging has none\nslipway.yaml:6:7 kubernetes.patches[1]: is refused for Deployment web: it shares hostPID with the node',
    );
  });
});
