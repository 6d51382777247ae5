import { randomBytes } from 'node:crypto';
import { atEndOfTest } from '../src/at-end-of-test.ts';
import { waitFor } from '../src/wait-for.ts';
import type { Api } from './api.ts';

/** A namespace of the test's own; deleted, with everything in it, at the end of the test. */
export async function testNamespace(api: Api): Promise<string> {
  const name = `test-${randomBytes(5).toString('hex')}`;
  atEndOfTest(() => api.delete(`/api/v1/namespaces/${name}`));
  await api.create('/api/v1/namespaces', { metadata: { name } });
  await waitFor(() => api.get(`/api/v1/namespaces/${name}/serviceaccounts/default`), {
    what: `the service account of ${name}`,
    seconds: 30,
  });
  return name;
}
