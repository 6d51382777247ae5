/** Objects that the tests of the cluster itself create. */

export interface Container {
  image: string;
  command: string[];
  resources?: { limits?: Record<string, string>; requests?: Record<string, string> };
  readinessProbe?: unknown;
}

/** Answers every request with the name of its pod. */
export const HTTP_SERVER =
  "require('node:http').createServer((_, answer) => answer.end(process.env.HOSTNAME)).listen(8080)";

export function podTemplate(app: string, container: Container): Record<string, unknown> {
  return {
    metadata: { labels: { app } },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'main', imagePullPolicy: 'IfNotPresent', ...container }],
    },
  };
}

export function deployment(name: string, replicas: number, template: Record<string, unknown>): unknown {
  return { metadata: { name }, spec: { replicas, selector: { matchLabels: { app: name } }, template } };
}

export function httpDeployment(name: string, replicas: number, image: string): unknown {
  const readinessProbe = { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 };
  const command = ['node', '-e', HTTP_SERVER];
  return deployment(name, replicas, podTemplate(name, { image, command, readinessProbe }));
}

export function service(name: string): unknown {
  return { metadata: { name }, spec: { selector: { app: name }, ports: [{ port: 80, targetPort: 8080 }] } };
}

export function job(name: string, container: Container): unknown {
  const template = podTemplate(name, container);
  return {
    metadata: { name },
    spec: {
      backoffLimit: 0,
      template: { ...template, spec: { ...(template['spec'] as object), restartPolicy: 'Never' } },
    },
  };
}

export interface Pod {
  metadata: { name: string; deletionTimestamp?: string };
  spec: { nodeName?: string };
  status: {
    phase: string;
    podIP?: string;
    conditions?: { type: string; status: string }[];
    containerStatuses?: {
      state: { waiting?: { reason?: string }; terminated?: { reason?: string; exitCode: number } };
    }[];
  };
}

export function isReady(pod: Pod): boolean {
  const ready = pod.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
  return ready === true && pod.metadata.deletionTimestamp === undefined;
}
