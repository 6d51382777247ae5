import { SlipwayError } from '@slipway/app';
import type { Protection } from '@slipway/engine';
import { ApiError } from '../api/api-error.ts';
import type { ApiClient } from '../api/client.ts';
import { objectPath } from '../api/resources.ts';
import { FIELD_MANAGER } from '../apply/managed-fields.ts';
import { isMapping, valueAt } from '../render/json-value.ts';
import { PROTECTED_LABEL, PROTECTION_NAME, protection } from '../render/protection.ts';

const POLICIES = '/apis/admissionregistration.k8s.io/v1';
const USERS_ANNOTATION = 'slipway.dev/users';

/**
 * Makes the API server refuse to delete protected environments: see `protection`. Control planes that share a cluster keep each other's names in it.
 *
 * @throws {SlipwayError} `mistake` when the credentials may not make admission policies.
 */
export async function applyProtection(api: ApiClient): Promise<void> {
  const policy = `${POLICIES}/validatingadmissionpolicies/${PROTECTION_NAME}`;
  const [self, present] = await Promise.all([ownName(api), existing(api, policy)]);
  const noted = valueAt(present, 'metadata', 'annotations', USERS_ANNOTATION);
  const known = typeof noted === 'string' ? noted.split('\n') : [];
  const users = [...new Set([...known, self])];
  for (const object of protection(users)) {
    const path =
      object.kind === 'ValidatingAdmissionPolicy'
        ? policy
        : `${POLICIES}/validatingadmissionpolicybindings/${PROTECTION_NAME}`;
    const metadata = { ...object.metadata, annotations: { [USERS_ANNOTATION]: users.join('\n') } };
    await api.apply(path, { ...object, metadata }, FIELD_MANAGER, 'yes');
  }
}

/** Takes the label off by which the policy knows a namespace: a person has asked to remove the environment, and typed its name. */
export async function unprotect(api: ApiClient, namespace: string): Promise<void> {
  await api.merge(objectPath('Namespace', null, namespace), { metadata: { labels: { [PROTECTED_LABEL]: null } } });
}

/** Tries to delete a namespace, in a dry run: what anybody who may delete namespaces would be told. */
export async function verifyProtection(api: ApiClient, namespace: string): Promise<Protection> {
  try {
    await api.delete(objectPath('Namespace', null, namespace), { dryRun: ['All'] });
  } catch (error) {
    if (error instanceof ApiError && error.message.includes(PROTECTION_NAME))
      return { namespace, verdict: 'refused', answer: error.message };
    throw error;
  }
  return { namespace, verdict: 'would be deleted', answer: null };
}

async function ownName(api: ApiClient): Promise<string> {
  const answer = await api.create<unknown>('/apis/authentication.k8s.io/v1/selfsubjectreviews', {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'SelfSubjectReview',
  });
  const name = valueAt(answer, 'status', 'userInfo', 'username');
  if (typeof name === 'string') return name;
  throw new SlipwayError('mistake', 'The cluster does not say as whom Slipway works there, so it protects nothing.');
}

async function existing(api: ApiClient, path: string): Promise<unknown> {
  try {
    const found = await api.get<unknown>(path);
    return isMapping(found) ? found : {};
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return {};
    throw error;
  }
}
