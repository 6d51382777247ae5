import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';
import type { Api } from './api.ts';

/** What service accounts of this namespace ask of the API server is written down by it; of nobody else. */
export const AUDITED_NAMESPACE = 'audited';
export const AUDIT_LOG = 'audit.log';

/** Arguments of the API server, and the policy that they name. */
export async function auditArguments(folder: string, logs: string): Promise<string[]> {
  const policy = path.join(folder, 'audit-policy.json');
  await writeFile(
    policy,
    JSON.stringify({
      apiVersion: 'audit.k8s.io/v1',
      kind: 'Policy',
      omitStages: ['RequestReceived'],
      rules: [
        { level: 'Metadata', userGroups: [`system:serviceaccounts:${AUDITED_NAMESPACE}`], omitManagedFields: true },
        { level: 'None' },
      ],
    }),
  );
  return [`--audit-policy-file=${policy}`, `--audit-log-path=${path.join(logs, AUDIT_LOG)}`];
}

/** One request that the API server has answered; a watch when it begins. */
export interface AuditedCall {
  verb: string;
  /** With its query. */
  uri: string;
  status: number;
}

/** Somebody who may do everything, and whose calls can be told from everybody else's. */
export interface Caller {
  kubeconfig: string;
  /** All so far. */
  calls(): Promise<AuditedCall[]>;
}

/**
 * @param name Also begins the name of the account.
 * @param log The cluster's audit log.
 * @param folder For the kubeconfig.
 */
export async function makeCaller(
  name: string,
  { api, kubeconfig, log, folder }: { api: Api; kubeconfig: string; log: string; folder: string },
): Promise<Caller> {
  const account = `${name}-${randomBytes(4).toString('hex')}`;
  const namespace = `/api/v1/namespaces/${AUDITED_NAMESPACE}`;
  await api.apply(namespace, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: AUDITED_NAMESPACE } });
  await api.create(`${namespace}/serviceaccounts`, { metadata: { name: account } });
  await api.create('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: `${AUDITED_NAMESPACE}-${account}` },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', namespace: AUDITED_NAMESPACE, name: account }],
  });
  const { status } = await api.create<{ status: { token: string } }>(`${namespace}/serviceaccounts/${account}/token`, {
    spec: { expirationSeconds: 86_400 },
  });
  const file = path.join(folder, `${account}.kubeconfig`);
  const config = parse(await readFile(kubeconfig, 'utf8')) as { users: { user: unknown }[] };
  const users = config.users.map((one) => ({ ...one, user: { token: status.token } }));
  await writeFile(file, JSON.stringify({ ...config, users }), { mode: 0o600 });
  const user = `system:serviceaccount:${AUDITED_NAMESPACE}:${account}`;
  return { kubeconfig: file, calls: async () => await callsOf(user, log) };
}

interface AuditEvent {
  user: { username: string };
  verb: string;
  stage: 'ResponseStarted' | 'ResponseComplete' | 'Panic';
  requestURI: string;
  responseStatus?: { code: number };
}

/** What goes on for long is written twice, when it begins and when it ends. */
async function callsOf(user: string, log: string): Promise<AuditedCall[]> {
  // The last piece is empty, or a line that is being written.
  const lines = (await readFile(log, 'utf8')).split('\n').slice(0, -1);
  return lines
    .filter((line) => line.includes(user))
    .flatMap((line) => {
      const { user: who, verb, stage, requestURI, responseStatus } = JSON.parse(line) as AuditEvent;
      const counts = stage === (isWatch(verb, requestURI) ? 'ResponseStarted' : 'ResponseComplete');
      if (who.username !== user || !counts) return [];
      return [{ verb, uri: requestURI, status: responseStatus?.code ?? 0 }];
    });
}

function isWatch(verb: string, uri: string): boolean {
  return verb === 'watch' || /[?&](?:watch|follow)=(?:true|1)/.test(uri);
}
