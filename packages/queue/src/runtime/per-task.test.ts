import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { waitFor } from '@slipway/testing';
import { expect, test } from 'vitest';
import { expectCrashWhenKilled, limits, runnerUnderTest } from './runner-under-test.ts';

const mebibyte = 1024 * 1024;
const small = { ...limits, memoryBytes: 100 * mebibyte };
const large = { ...limits, memoryBytes: 500 * mebibyte };

test('a command gets its task in a folder and by variables, and leaves its output in another', async () => {
  const under = await runnerUnderTest(`
    set -eu
    echo "$SLIPWAY_TASK_ID $SLIPWAY_ATTEMPT $SLIPWAY_LANE"
    cat "$SLIPWAY_INPUT/colours.txt" "$SLIPWAY_PAYLOAD" > "$SLIPWAY_OUTPUT/copy.txt"
    echo '{"pages": 2}' > "$SLIPWAY_OUTPUT/result.json"`);
  const folder = await under.runner.prepare();
  await writeFile(path.join(folder.input, 'colours.txt'), 'red\n');
  const report = await under.runner.run(
    { id: '7', attempt: 3, lane: 'fallback', payload: { title: 'Ahoj' }, folder },
    { signal: new AbortController().signal },
  );
  expect(report).toMatchObject({ end: { kind: 'done' }, result: { pages: 2 } });
  expect(under.lines).toEqual(['7 3 fallback']);
  expect(await readFile(path.join(folder.output, 'copy.txt'), 'utf8')).toBe('red\n{"title":"Ahoj"}');
  await under.runner.dispose(folder);
  const next = await under.runner.prepare();
  expect(next.path).not.toBe(folder.path);
  expect(existsSync(folder.path)).toBe(false);
  expect(await readdir(next.path, { recursive: true })).toEqual(['input', 'output']);
  await under.runner.dispose(next);
  await under.runner.stop(0);
  expect(await readdir(path.dirname(folder.path))).toEqual([]);
});

test.for([
  'rm -r "$SLIPWAY_OUTPUT"',
  'rm -r "$SLIPWAY_OUTPUT"; ln -s / "$SLIPWAY_OUTPUT"',
  'chmod 0 "$SLIPWAY_INPUT"',
  'cd "$SLIPWAY_OUTPUT/.."; rm -r "$PWD"',
  'chmod 500 "$SLIPWAY_OUTPUT/.."',
])('an attempt finds a new folder, although the one before did "%s"', async (command) => {
  const under = await runnerUnderTest(command);
  const { folder } = await under.run();
  await under.runner.dispose(folder);
  const next = await under.runner.prepare();
  await writeFile(path.join(next.input, 'a'), '');
  await writeFile(path.join(next.output, 'b'), '');
  await writeFile(next.payload, '');
  expect((await readdir(next.path, { recursive: true })).toSorted()).toEqual([
    'input',
    'input/a',
    'output',
    'output/b',
    'payload.json',
  ]);
});

test.for([
  ['exit 0', { kind: 'done' }],
  ['exit 65', { kind: 'discarded' }],
  ['exit 75', { kind: 'again', seconds: 60 }],
  ['exit 3', { kind: 'error', exitCode: 3 }],
  ['no-such-program', { kind: 'error', exitCode: 127 }],
  ['kill -SEGV $$', { kind: 'crash', signal: 'SIGSEGV' }],
  ['echo "[1" > "$SLIPWAY_OUTPUT/result.json"', { kind: 'error' }],
  ['ln -s /etc/hostname "$SLIPWAY_OUTPUT/result.json"', { kind: 'error' }],
  ['mkfifo "$SLIPWAY_OUTPUT/result.json"', { kind: 'error' }],
  ['head -c 70000 /dev/zero > "$SLIPWAY_OUTPUT/result.json"', { kind: 'error' }],
  ['rm -r "$SLIPWAY_OUTPUT"; ln -s / "$SLIPWAY_OUTPUT"', { kind: 'error' }],
] as const)('"%s" ends as it should', async ([command, end]) => {
  const under = await runnerUnderTest(command);
  expect((await under.run()).end).toMatchObject(end);
});

test('an error tells the last lines, each cut, whatever was written', async () => {
  const under = await runnerUnderTest('seq 1 30 >&2; head -c 20000000 /dev/zero | tr "\\0" x; echo; echo last; exit 1');
  const { end } = await under.run();
  if (end.kind !== 'error') throw new Error(`it ended as ${end.kind}`);
  const lines = end.message.split('\n').slice(1);
  expect(lines).toHaveLength(20);
  expect([lines[0], lines.at(-1)]).toEqual(['13', 'last']);
  expect(lines.at(-2)).toBe(`${'x'.repeat(500)}…`);
});

test('output without an end neither stops an attempt nor fills the memory', async () => {
  const under = await runnerUnderTest('cat /dev/zero', {
    limits: { normal: { ...limits, timeoutSeconds: 0.7 }, fallback: limits },
  });
  const before = process.memoryUsage.rss();
  expect((await under.run()).end).toMatchObject({ kind: 'timeout' });
  expect(process.memoryUsage.rss() - before).toBeLessThan(150 * mebibyte);
});

test('a command that closes its pipes runs on to its own end', async () => {
  const under = await runnerUnderTest('exec <&- >&- 2>&-; touch "$SLIPWAY_OUTPUT/closed"; sleep 0.3; exit 75');
  const { end, folder } = await under.run();
  expect(end).toMatchObject({ kind: 'again' });
  expect(await readdir(folder.output)).toEqual(['closed']);
});

test('progress is told while it runs; what is no progress is left out', async () => {
  const under = await runnerUnderTest(`
    echo 0.25 >> "$SLIPWAY_PROGRESS"
    while [ ! -e go ]; do sleep 0.02; done
    echo nonsense >> "$SLIPWAY_PROGRESS"; echo '{"page": 2}' >> "$SLIPWAY_PROGRESS"`);
  const started = await under.begin();
  await waitFor(() => started.progress.length > 0, { what: 'the first progress' });
  await writeFile(path.join(under.folder, 'go'), '');
  await started.report;
  expect([started.progress[0], started.progress.at(-1)]).toEqual([0.25, { page: 2 }]);
});

test('a memory hog in a grandchild that left the session is out of memory; its neighbour goes on', async () => {
  const hog = `python3 -c "
a=[]
while True: a.append(b'x'*1000000)"`;
  const under = await runnerUnderTest(
    `if grep -q hog "$SLIPWAY_PAYLOAD"; then (setsid ${hog} &) ; sleep 20; else while [ ! -e go ]; do sleep 0.02; done; fi`,
    { limits: { normal: small, fallback: small } },
  );
  const calm = await under.begin('calm');
  const { end, usage } = await under.run('hog');
  expect(end).toMatchObject({ kind: 'oom', proof: 'measured' });
  expect(usage.peakBytes).toBeGreaterThan(small.memoryBytes);
  await writeFile(path.join(under.folder, 'go'), '');
  expect((await calm.report).end).toEqual({ kind: 'done' });
  expect(await under.processes()).toEqual([]);
});

test("V8's own end by its heap limit is out of memory", async () => {
  const under = await runnerUnderTest('"$NODE" -e "const a=[];for(;;)a.push(new Array(1e5).fill({}))"', {
    limits: { normal: large, fallback: large },
  });
  expect((await under.run()).end).toMatchObject({ kind: 'oom', proof: 'runtime' });
});

test('what ignores SIGTERM is killed a second after its time is over', async () => {
  const under = await runnerUnderTest("trap '' TERM; while :; do sleep 0.05; done", {
    limits: { normal: { ...limits, timeoutSeconds: 0.3 }, fallback: limits },
  });
  const { end, usage } = await under.run();
  expect(end).toMatchObject({ kind: 'timeout' });
  expect(usage.wallSeconds).toBeGreaterThan(1.2);
  expect(usage.wallSeconds).toBeLessThan(4);
  expect(await under.processes()).toEqual([]);
});

test('a tree of processes in sessions of their own is gone when its attempt is cancelled', async () => {
  const under = await runnerUnderTest(`
    spread() { [ "$1" = 0 ] || for i in 1 2 3; do (setsid sh -c 'trap "" TERM; sleep 300; sleep 300' & spread $(($1 - 1)) &) ; done; }
    spread 3
    sleep 300`);
  const started = await under.begin();
  await waitFor(async () => (await under.processes()).length > 40, { what: 'the tree to grow' });
  started.abort('cancelled');
  expect((await started.report).end).toEqual({ kind: 'interrupted', reason: 'cancelled' });
  expect(await under.processes()).toEqual([]);
});

test('what a finished command left running is ended with it', async () => {
  const under = await runnerUnderTest('(setsid sleep 300 &); sleep 300 & echo done');
  expect((await under.run()).end).toEqual({ kind: 'done' });
  expect(await under.processes()).toEqual([]);
});

test('the kill of one command is a crash, told within a second; others go on', async () => {
  const under = await runnerUnderTest('echo $$ > "$SLIPWAY_OUTPUT/pid"; while [ ! -e go ]; do sleep 0.02; done');
  const [victim, other] = [await under.begin(), await under.begin()];
  await expectCrashWhenKilled(victim);
  await writeFile(path.join(under.folder, 'go'), '');
  expect((await other.report).end).toEqual({ kind: 'done' });
});

test('usage adds up what the children of a short command used', async () => {
  const under = await runnerUnderTest('python3 -c "x = sum(range(8000000)); y = bytearray(30000000)"');
  const { usage } = await under.run();
  expect(usage.cpuSeconds).toBeGreaterThan(0.03);
  expect(usage.cpuSeconds).toBeLessThan(usage.wallSeconds + 0.1);
});

test('a stop lets a short attempt finish and hands a long one back within the grace', async () => {
  const under = await runnerUnderTest(
    'echo up; if grep -q short "$SLIPWAY_PAYLOAD"; then while [ ! -e go ]; do sleep 0.02; done; else sleep 300; fi',
  );
  const [short, long] = [await under.begin('short'), await under.begin('long')];
  await waitFor(() => under.lines.length === 2, { what: 'both to run' });
  const stopped = under.runner.stop(2);
  await expect(under.run()).rejects.toThrow("isn't running");
  await writeFile(path.join(under.folder, 'go'), '');
  expect((await short.report).end).toEqual({ kind: 'done' });
  expect((await long.report).end).toEqual({ kind: 'interrupted', reason: 'stopping' });
  await stopped;
  expect(await under.processes()).toEqual([]);
});

test('the word that the queue stops ends nothing by itself', async () => {
  const under = await runnerUnderTest('echo up; while [ ! -e go ]; do sleep 0.02; done');
  const started = await under.begin();
  await waitFor(() => under.lines.length === 1, { what: 'it to run' });
  started.abort(Object.assign(new Error('the queue is stopping'), { reason: 'stopping' }));
  await writeFile(path.join(under.folder, 'go'), '');
  expect((await started.report).end).toEqual({ kind: 'done' });
});

test('a folder is removed whatever is in it, and nothing outside of it', async () => {
  const under = await runnerUnderTest(
    'ln -s "$PWD/outside" "$SLIPWAY_OUTPUT/link"; mkdir -p "$SLIPWAY_OUTPUT/a/b"; touch "$SLIPWAY_OUTPUT/a/b/c"; chmod 0 "$SLIPWAY_OUTPUT/a"',
  );
  const outside = path.join(under.folder, 'outside');
  await mkdir(outside);
  await writeFile(path.join(outside, 'kept'), '');
  const { folder } = await under.run();
  await under.runner.dispose(folder);
  expect(existsSync(folder.path)).toBe(false);
  expect(await readdir(outside)).toEqual(['kept']);
});

test('a command that cannot be started at all is no attempt', async () => {
  const under = await runnerUnderTest('true', { cwd: '/nowhere/at/all' });
  await expect(under.run()).rejects.toThrow("can't be started in /nowhere/at/all");
});
