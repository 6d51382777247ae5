import type { IValidatingAdmissionPolicy } from 'kubernetes-models/admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy';
import type { IValidatingAdmissionPolicyBinding } from 'kubernetes-models/admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding';
import { byText } from './kubernetes-object.ts';
import type { Metadata } from './kubernetes-object.ts';
import { MANAGER_LABEL } from './owner.ts';

/** On the namespace of a protected environment. To delete it, this label is taken off first: two steps, and never one slip. */
export const PROTECTED_LABEL = 'slipway.dev/protected';
/** Of the policy and of its binding. */
export const PROTECTION_NAME = 'slipway-protection';

export type ProtectionObject = (IValidatingAdmissionPolicy | IValidatingAdmissionPolicyBinding) & {
  metadata: Metadata;
};

/** What Slipway makes of a plan, and so may be deleted with an environment. Pods and what controllers make come and go all the time. */
const GUARDED: readonly { apiGroups: string[]; resources: string[] }[] = [
  { apiGroups: [''], resources: ['configmaps', 'resourcequotas', 'secrets', 'serviceaccounts', 'services'] },
  { apiGroups: ['apps'], resources: ['deployments'] },
  { apiGroups: ['autoscaling'], resources: ['horizontalpodautoscalers'] },
  { apiGroups: ['batch'], resources: ['cronjobs'] },
  { apiGroups: ['gateway.networking.k8s.io'], resources: ['httproutes'] },
  { apiGroups: ['networking.k8s.io'], resources: ['ingresses', 'networkpolicies'] },
  { apiGroups: ['policy'], resources: ['poddisruptionbudgets'] },
];

/**
 * A policy by which the API server itself refuses to delete a protected environment's namespace (whoever asks) or an object of Slipway's in it (but for
 * Slipway, which replaces releases, and the cluster's own controllers). It needs no webhook, so nothing has to run for it to hold.
 *
 * https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
 *
 * @param users names of the users as whom control planes of this cluster work.
 */
export function protection(users: readonly string[]): ProtectionObject[] {
  const about: Metadata = { name: PROTECTION_NAME, labels: { [MANAGER_LABEL]: 'slipway' } };
  const own = [...users].sort(byText).map((user) => JSON.stringify(user));
  return [
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicy',
      metadata: about,
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: {
          // Of a namespace it is the labels of itself that count.
          namespaceSelector: { matchLabels: { [PROTECTED_LABEL]: 'true' } },
          objectSelector: { matchLabels: { [MANAGER_LABEL]: 'slipway' } },
          resourceRules: [{ apiGroups: [''], resources: ['namespaces'] }, ...GUARDED].map((rule) => ({
            ...rule,
            apiVersions: ['*'],
            operations: ['DELETE'],
          })),
        },
        validations: [
          {
            expression: "request.resource.resource != 'namespaces'",
            message:
              'This namespace is a protected environment of Slipway. Remove it with: slipway remove APP/ENV --confirm ENV',
            reason: 'Forbidden',
          },
          {
            expression: `request.resource.resource == 'namespaces' || request.userInfo.username in [${own.join(', ')}] || 'system:serviceaccounts:kube-system' in request.userInfo.groups`,
            message:
              'This object belongs to a protected environment of Slipway. Change slipway.yaml, or remove the environment with: slipway remove APP/ENV --confirm ENV',
            reason: 'Forbidden',
          },
        ],
      },
    },
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata: about,
      spec: { policyName: PROTECTION_NAME, validationActions: ['Deny'] },
    },
  ];
}
