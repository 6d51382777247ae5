import { expect, test } from 'vitest';
import { fieldPaths, laterEditor, ownFields } from './managed-fields.ts';

const ours = {
  manager: 'slipway',
  operation: 'Apply',
  time: '2026-11-28T07:00:00Z',
  fieldsV1: { 'f:spec': { 'f:replicas': {}, 'f:template': {} } },
};
const kubectl = {
  manager: 'kubectl-edit',
  operation: 'Update',
  time: '2026-11-28T07:00:05Z',
  fieldsV1: {
    'f:spec': { 'f:template': { 'f:spec': { 'f:containers': { 'k:{"name":"web"}': { '.': {}, 'f:image': {} } } } } },
  },
};

test('an edit of a field of ours changes what is told about ours; a status does not', () => {
  const before = ownFields([ours]);
  expect(ownFields([{ ...ours, fieldsV1: { 'f:spec': { 'f:template': {} } } }, kubectl])).not.toBe(before);
  const status = { manager: 'kube-controller-manager', operation: 'Update', subresource: 'status', fieldsV1: {} };
  expect(ownFields([status, ours])).toBe(before);
  expect(ownFields([kubectl])).toBe('none');
});

test('who wrote last, and what', () => {
  expect(laterEditor([ours, kubectl])).toEqual({
    manager: 'kubectl-edit',
    fields: ['spec.template.spec.containers[name=web].image'],
  });
  expect(laterEditor([ours, { ...kubectl, time: '2026-11-28T06:00:00Z' }])).toBeNull();
  expect(laterEditor([ours, { ...kubectl, subresource: 'status' }])).toBeNull();
});

test('paths of fields are as a person writes them', () => {
  const set = { 'f:metadata': { 'f:labels': { 'f:a.b/c': {} } }, 'f:spec': { 'f:finalizers': { 'v:"x"': {} } } };
  expect(fieldPaths(set)).toEqual(['metadata.labels.a.b/c', 'spec.finalizers["x"]']);
});
