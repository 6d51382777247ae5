import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HTTPRoute } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute';
import { StatefulSet } from 'kubernetes-models/apps/v1/StatefulSet';
import { Ingress } from 'kubernetes-models/networking.k8s.io/v1/Ingress';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { ClusterRole } from 'kubernetes-models/rbac.authorization.k8s.io/v1/ClusterRole';
import { ClusterRoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1/ClusterRoleBinding';
import { Namespace } from 'kubernetes-models/v1/Namespace';
import { Secret } from 'kubernetes-models/v1/Secret';
import { Service } from 'kubernetes-models/v1/Service';
import { ServiceAccount } from 'kubernetes-models/v1/ServiceAccount';
import { describe, expect, test } from 'vitest';
import { RIGHTS, type Manifest } from '@slipway/kubernetes';
import { chartFiles } from './chart-files.ts';
import type { Json } from './fill.ts';
import { installed } from './installation.ts';
import { installations } from './installations-under-test.ts';
import { readValues } from './values.ts';

const chart = join(import.meta.dirname, '..', '..', '..', '..', 'chart');
const byHand = ['.helmignore', 'templates/NOTES.txt', 'templates/_admin-token.tpl'];
const models: Record<string, new (object: never) => { validate(): void }> = {
  ClusterRole,
  ClusterRoleBinding,
  HTTPRoute,
  Ingress,
  Namespace,
  NetworkPolicy,
  Secret,
  Service,
  ServiceAccount,
  StatefulSet,
};

function objectsOf(values: Json): Manifest[] {
  return installed({ release: 'slipway', namespace: 'slipway', values: readValues(values), adminToken: 'slw_token' });
}

test('the chart is what is described: otherwise run `npm run chart`', () => {
  const files = readdirSync(chart, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(chart.length + 1));
  const there = Object.fromEntries(
    files.filter((file) => !byHand.includes(file)).map((file) => [file, readFileSync(join(chart, file), 'utf8')]),
  );
  expect(there).toEqual(chartFiles());
});

describe.each(Object.entries(installations))('%s', (_, values) => {
  const objects = objectsOf(values);

  test('keeps the schemas of Kubernetes and of the Gateway API', () => {
    for (const object of objects) {
      const model = models[object.kind];
      if (model === undefined) throw new Error(`no schema of ${object.kind}`);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the model is what checks it
      new model(object as never).validate();
    }
  });

  test('is a pod that a namespace lets in which is restricted, with a limit of memory on every container', () => {
    const { securityContext, containers, initContainers } = podOf(objects);
    expect(securityContext).toMatchObject({
      runAsNonRoot: true,
      runAsUser: 10_001,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    for (const container of [...initContainers, ...containers]) {
      expect(container).toMatchObject({
        securityContext: {
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
          readOnlyRootFilesystem: true,
        },
        resources: { limits: { memory: expect.stringMatching(/i$/) } },
      });
    }
  });

  test('lets builds have neither the account, nor the token, nor the database, nor the volume as a whole', () => {
    const { automountServiceAccountToken, initContainers } = podOf(objects);
    expect(automountServiceAccountToken).toBe(false);
    const agent = initContainers.find(({ name }) => name === 'agent');
    expect(agent?.env.map(({ name }) => name)).toEqual(['SLIPWAY_HOME', 'HOME']);
    const mounts = agent?.volumeMounts.map(({ name, subPath = null }) => [name, subPath]);
    expect(mounts).toEqual([
      ['agent-home', null],
      ['agent-tmp', null],
      ['data', 'data/agent'],
      ['data', 'data/artifacts'],
    ]);
  });
});

test('the account may do what the engine does, and nothing else', () => {
  const role = objectsOf({ image: 'slipway:1.0' }).find(({ kind }) => kind === 'ClusterRole');
  expect(role).toMatchObject({
    rules: RIGHTS.map(({ apiGroups, resources, verbs }) => ({ apiGroups, resources, verbs })),
  });
  expect(JSON.stringify(role)).not.toContain('*');
  expect(JSON.stringify(role)).not.toMatch(/roles|rolebindings/);
});

test('without the cluster as an engine there are no rights in it and no account in the pod', () => {
  const objects = objectsOf({ image: 'slipway:1.0', cluster: { name: '' } });
  expect(objects.map(({ kind }) => kind).filter((kind) => kind.startsWith('Cluster'))).toEqual([]);
  expect(JSON.stringify(objects)).not.toContain('serviceAccountToken');
});

test('values that can’t be used are named', () => {
  expect(() => readValues({})).toThrow('image: ');
  expect(() => readValues({ image: 'slipway:1', storage: { sise: '1Gi' } })).toThrow(/storage: .*sise/);
  expect(() => objectsOf({ image: 'slipway:1', expose: { via: 'ingress' } })).toThrow('expose.host: give the name');
});

interface Container {
  name: string;
  env: { name: string }[];
  volumeMounts: { name: string; subPath?: string }[];
}

interface PodSpec {
  automountServiceAccountToken: boolean;
  securityContext: object;
  containers: Container[];
  initContainers: Container[];
}

function podOf(objects: readonly Manifest[]): PodSpec {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- checked by its schema above
  const set = objects.find(({ kind }) => kind === 'StatefulSet') as unknown as {
    spec: { template: { spec: PodSpec } };
  };
  return set.spec.template.spec;
}
