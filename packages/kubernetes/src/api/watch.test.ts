import { expect, onTestFinished, test } from 'vitest';
import { waitFor } from '@slipway/testing';
import { events, failure, faultyApi, json, type Answer } from './api-under-test.ts';
import { Watch, type Watched } from './watch.ts';

const object = (name: string, version: number): Watched => ({
  metadata: { name, namespace: 'a', uid: name, resourceVersion: `${version}` },
});
const list = (version: number, ...items: Watched[]): Answer =>
  json({ metadata: { resourceVersion: `${version}` }, items });
const change = (type: string, one: Watched) => ({ type, object: one });

/** Follows pods; `names` is what there is. */
async function follow(...answers: Answer[]) {
  const { api, seen } = await faultyApi(...answers);
  const names = new Set<string>();
  const watch = new Watch<Watched>(api, {
    kind: 'Pod',
    labelSelector: 'mine=yes',
    content: 'whole',
    replaced: async (objects) => {
      const all = await Array.fromAsync(objects);
      names.clear();
      for (const one of all) names.add(one.metadata.name);
    },
    changed: (one) => names.add(one.metadata.name),
    deleted: (one) => names.delete(one.metadata.name),
  });
  onTestFinished(async () => await watch.stop());
  await watch.start();
  const versions = () => seen.map((one) => (/watch=true/.test(one) ? /resourceVersion=(\d+)/.exec(one)?.[1] : 'list'));
  return { names, seen, versions };
}

test('a list, then changes; a bookmark moves the version on', async () => {
  const { names, seen, versions } = await follow(
    list(5, object('one', 3)),
    events(
      'end',
      change('ADDED', object('two', 6)),
      change('DELETED', object('one', 7)),
      change('BOOKMARK', object('', 9)),
    ),
    events('stay'),
  );
  await waitFor(() => versions().length === 3, { what: 'the second watch' });
  expect([...names]).toEqual(['two']);
  expect(versions()).toEqual(['list', '5', '9']);
  expect(seen[0]).toContain('labelSelector=mine%3Dyes');
  expect(seen[1]).toContain('allowWatchBookmarks=true');
});

test('a broken connection is resumed from the last change, without a list', async () => {
  const { names, versions } = await follow(
    list(5),
    events('break', change('ADDED', object('one', 6))),
    failure(503, 'ServiceUnavailable'),
    events('stay', change('ADDED', object('two', 8))),
  );
  await waitFor(() => names.has('two'), { what: 'what came after' });
  expect([...names]).toEqual(['one', 'two']);
  expect(versions()).toEqual(['list', '5', '6', '6']);
});

test.each<[string, Answer]>([
  ['on opening', failure(410, 'Expired')],
  ['within', events('end', { type: 'ERROR', object: { code: 410, reason: 'Expired', message: 'too old' } })],
])('410 Gone %s: everything is listed again, and what is gone is noticed', async (_, gone) => {
  const { names, versions } = await follow(
    list(5, object('one', 3)),
    gone,
    list(50, object('two', 40)),
    events('stay'),
  );
  await waitFor(() => versions().length === 4, { what: 'the watch after it' });
  expect([...names]).toEqual(['two']);
  expect(versions()).toEqual(['list', '5', 'list', '50']);
});

test('a long list comes in pages', async () => {
  const first = json({ metadata: { resourceVersion: '5', continue: 'next' }, items: [object('one', 1)] });
  const { names, seen } = await follow(first, list(5, object('two', 2)), events('stay'));
  expect([...names]).toEqual(['one', 'two']);
  expect(seen[1]).toContain('continue=next');
});

test('an empty list of metadata has null in the place of its items', async () => {
  const { names } = await follow(json({ metadata: { resourceVersion: '5' }, items: null }), events('stay'));
  expect([...names]).toEqual([]);
});

test('a kind that is not served holds up nobody', async () => {
  const { names } = await follow(failure(404, 'NotFound'));
  expect([...names]).toEqual([]);
});
