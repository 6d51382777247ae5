import { expect, test } from 'vitest';
import { desired } from '../apply/applier.ts';
import { metadata, ownerOf, RELEASE_LABEL } from '../render/owner.ts';
import { jobGate } from './job-gate.ts';

const owner = ownerOf('shop/staging');
const about = (name: string, release: number) => metadata(owner, name, { labels: { [RELEASE_LABEL]: `${release}` } });
const job = desired({ apiVersion: 'batch/v1', kind: 'Job', metadata: about('migrate-1', 2) });
const old = desired({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: about('web--r1', 1) });
const next = desired({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: about('web--r2', 2) });
const wanted = [job, old, next];
const never = () => false;

test('Deployments of a release wait for its job, and of that release only', () => {
  expect([...jobGate(wanted, never, () => null).waiting]).toEqual([next]);
  expect([...jobGate(wanted, never, () => 'runs').waiting]).toEqual([next]);
  expect([...jobGate(wanted, never, () => 'done').waiting]).toEqual([]);
});

test('a failed job starts nothing and is told', () => {
  const gate = jobGate(wanted, never, () => 'failed');
  expect([...gate.waiting]).toEqual([next]);
  expect(gate.failed).toEqual([job]);
});

test('a job that is gone after its release was started is not made again', () => {
  expect([
    ...jobGate(
      wanted,
      (release) => release === '2',
      () => null,
    ).waiting,
  ]).toEqual([job]);
});
