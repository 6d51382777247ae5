import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '@slipway/testing';
import { inCluster } from './in-cluster.ts';
import { readKubeconfig } from './kubeconfig.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');

async function kubeconfig(user: unknown, cluster: Record<string, unknown> = {}): Promise<string> {
  const file = path.join(await temporaryFolder(), 'config');
  await writeFile(
    file,
    JSON.stringify({
      'current-context': 'one',
      contexts: [
        { name: 'one', context: { cluster: 'c', user: 'u' } },
        { name: 'other', context: { cluster: 'c', user: 'nobody' } },
      ],
      clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:6443/path', ...cluster } }],
      users: [{ name: 'u', user }],
    }),
  );
  return file;
}

async function tokenOf(file: string): Promise<string> {
  const { identity } = await readKubeconfig(file);
  if (identity.kind !== 'token') throw new Error(`it is a ${identity.kind}`);
  return await identity.read();
}

test('a client certificate in the file, authorities beside it', async () => {
  const file = await kubeconfig(
    { 'client-certificate-data': base64('cert'), 'client-key-data': base64('key') },
    { 'certificate-authority': 'ca.crt', 'tls-server-name': 'kubernetes' },
  );
  await writeFile(path.join(path.dirname(file), 'ca.crt'), 'ca');
  expect(await readKubeconfig(file)).toEqual({
    server: new URL('https://127.0.0.1:6443/path'),
    ca: Buffer.from('ca'),
    verification: 'required',
    serverName: 'kubernetes',
    identity: { kind: 'certificate', certificate: Buffer.from('cert'), key: Buffer.from('key') },
  });
});

test('a token in the file, and one in a file that is renewed', async () => {
  expect(await tokenOf(await kubeconfig({ token: 'plain' }))).toBe('plain');
  const file = await kubeconfig({ tokenFile: 'token' });
  await writeFile(path.join(path.dirname(file), 'token'), 'first\n');
  const { identity } = await readKubeconfig(file);
  if (identity.kind !== 'token') throw new Error('no token');
  expect(await identity.read()).toBe('first');
  await writeFile(path.join(path.dirname(file), 'token'), 'second\n');
  expect(await identity.read()).toBe('first');
  identity.refused();
  expect(await identity.read()).toBe('second');
});

test('a program gives a token, and is asked again when it has expired or was refused', async () => {
  const file = await kubeconfig({
    exec: {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: './login',
      args: ['a'],
      env: [{ name: 'B', value: 'b' }],
    },
  });
  const program = path.join(path.dirname(file), 'login');
  await writeFile(
    program,
    `#!/bin/sh
echo x >> asked
printf '{"kind":"ExecCredential","status":{"token":"%s","expirationTimestamp":"2099-01-01T00:00:00Z"}}' "$1$B$(wc -l < asked | tr -d ' ')"
`,
  );
  await chmod(program, 0o755);
  const { identity } = await readKubeconfig(file);
  if (identity.kind !== 'token') throw new Error('no token');
  expect(await identity.read()).toBe('ab1');
  expect(await identity.read()).toBe('ab1');
  identity.refused();
  expect(await identity.read()).toBe('ab2');
});

test('a program that fails says so without what it wrote', async () => {
  const file = await kubeconfig({
    exec: { command: 'sh', args: ['-c', 'echo secret-token >&2; exit 1'], installHint: 'Install it.' },
  });
  const error: unknown = await tokenOf(file).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ kind: 'transient', hint: 'Install it.' });
  expect(String(error)).not.toContain('secret-token');
});

test('what is missing is told', async () => {
  const file = await kubeconfig({ token: 'x' });
  await expect(readKubeconfig(file, 'onee')).rejects.toMatchObject({ kind: 'mistake', hint: 'Did you mean "one"?' });
  await expect(readKubeconfig(file, 'other')).rejects.toThrow('no user "nobody"');
  await expect(readKubeconfig('/nowhere')).rejects.toMatchObject({ kind: 'mistake' });
  await expect(readKubeconfig(await kubeconfig({ username: 'x' }))).rejects.toMatchObject({ kind: 'mistake' });
});

test('in a pod: its service account', async () => {
  const folder = await temporaryFolder();
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, 'ca.crt'), 'ca');
  await writeFile(path.join(folder, 'token'), 'token');
  const access = await inCluster({ KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' }, folder);
  expect(access.server.href).toBe('https://10.96.0.1/');
  await expect(inCluster({}, folder)).rejects.toMatchObject({ kind: 'mistake' });
});
