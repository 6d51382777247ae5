import { expect, test } from 'vitest';
import type { JsonPatchOperation } from '@slipway/app';
import { applyJsonPatch } from './json-patch.ts';
import { PatchFailed } from './patch-failed.ts';

/** The examples of RFC 6902, appendix A, that are not about the reading of the patch itself. */
test.each<[string, unknown, JsonPatchOperation[], unknown]>([
  ['A.1', { foo: 'bar' }, [{ op: 'add', path: '/baz', value: 'qux' }], { baz: 'qux', foo: 'bar' }],
  ['A.2', { foo: ['bar', 'baz'] }, [{ op: 'add', path: '/foo/1', value: 'qux' }], { foo: ['bar', 'qux', 'baz'] }],
  ['A.3', { baz: 'qux', foo: 'bar' }, [{ op: 'remove', path: '/baz' }], { foo: 'bar' }],
  ['A.4', { foo: ['bar', 'qux', 'baz'] }, [{ op: 'remove', path: '/foo/1' }], { foo: ['bar', 'baz'] }],
  ['A.5', { baz: 'qux', foo: 'bar' }, [{ op: 'replace', path: '/baz', value: 'boo' }], { baz: 'boo', foo: 'bar' }],
  [
    'A.6',
    { foo: { bar: 'baz', waldo: 'fred' }, qux: { corge: 'grault' } },
    [{ op: 'move', from: '/foo/waldo', path: '/qux/thud' }],
    { foo: { bar: 'baz' }, qux: { corge: 'grault', thud: 'fred' } },
  ],
  [
    'A.7',
    { foo: ['all', 'grass', 'cows', 'eat'] },
    [{ op: 'move', from: '/foo/1', path: '/foo/3' }],
    { foo: ['all', 'cows', 'eat', 'grass'] },
  ],
  [
    'A.8',
    { baz: 'qux', foo: ['a', 2, 'c'] },
    [
      { op: 'test', path: '/baz', value: 'qux' },
      { op: 'test', path: '/foo/1', value: 2 },
    ],
    { baz: 'qux', foo: ['a', 2, 'c'] },
  ],
  ['A.9', { baz: 'qux' }, [{ op: 'test', path: '/baz', value: 'bar' }], PatchFailed],
  [
    'A.10',
    { foo: 'bar' },
    [{ op: 'add', path: '/child', value: { grandchild: {} } }],
    { foo: 'bar', child: { grandchild: {} } },
  ],
  ['A.12', { foo: 'bar' }, [{ op: 'add', path: '/baz/bat', value: 'qux' }], PatchFailed],
  ['A.14', { '/': 9, '~1': 10 }, [{ op: 'test', path: '/~01', value: 10 }], { '/': 9, '~1': 10 }],
  ['A.15', { '/': 9, '~1': 10 }, [{ op: 'test', path: '/~01', value: '10' }], PatchFailed],
  ['A.16', { foo: ['bar'] }, [{ op: 'add', path: '/foo/-', value: ['abc', 'def'] }], { foo: ['bar', ['abc', 'def']] }],
  [
    'copy',
    { a: { b: 1 } },
    [
      { op: 'copy', from: '/a', path: '/c' },
      { op: 'replace', path: '/c/b', value: 2 },
    ],
    { a: { b: 1 }, c: { b: 2 } },
  ],
  ['the whole', { a: 1 }, [{ op: 'replace', path: '', value: [1] }], [1]],
  ['into itself', { a: { b: 1 } }, [{ op: 'move', from: '/a', path: '/a/b/c' }], PatchFailed],
  ['past the end', { a: [1] }, [{ op: 'add', path: '/a/2', value: 1 }], PatchFailed],
  ['no number', { a: [1] }, [{ op: 'replace', path: '/a/01', value: 1 }], PatchFailed],
  ['the end of a list', { a: [1] }, [{ op: 'remove', path: '/a/-' }], PatchFailed],
  ['what every object has', {}, [{ op: 'remove', path: '/constructor' }], PatchFailed],
])('%s', (_, document, patch, expected) => {
  const before = structuredClone(document);
  if (expected === PatchFailed) expect(() => applyJsonPatch(document, patch)).toThrow(PatchFailed);
  else expect(applyJsonPatch(document, patch)).toEqual(expected);
  expect(document).toEqual(before);
});

test('a key of a strange name is a key', () => {
  const patch: JsonPatchOperation[] = [{ op: 'add', path: '/__proto__', value: { polluted: true } }];
  const result = applyJsonPatch({}, patch);
  expect(Object.keys(result as object)).toEqual(['__proto__']);
  expect(Reflect.get({}, 'polluted')).toBeUndefined();
});
