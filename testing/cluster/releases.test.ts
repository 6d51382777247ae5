import { expect, test } from 'vitest';
import { Releases } from './releases.ts';

test('what was started is undone last-in first-out, once, and one failure does not keep the others', async () => {
  const releases = new Releases();
  const undone: string[] = [];
  releases.add('stop etcd', () => undone.push('etcd'));
  releases.add('remove the bridge', () => Promise.reject(new Error('busy')));
  releases.add('stop the kubelet', () => undone.push('kubelet'));
  await expect(releases.run()).rejects.toThrow('could not remove the bridge: Error: busy');
  await releases.run();
  expect(undone).toEqual(['kubelet', 'etcd']);
});

test('a start that goes on after the stop fails at its next step, and that step is undone too', async () => {
  const releases = new Releases();
  const undone: string[] = [];
  releases.close();
  await releases.run();
  expect(() => releases.add('stop etcd', () => undone.push('etcd'))).toThrow('stopped while it was starting');
  await releases.run();
  expect(undone).toEqual(['etcd']);
});
