import { expect, test } from 'vitest';
import type { LogLine } from '../job.ts';
import { hostOf, plan, release, worker, type World } from './world.ts';

const never = new AbortController().signal;

export function logTests(world: () => World): void {
  test('logs hold what every process wrote, by source, stream and time', async () => {
    const { engine, watcher, app, environment } = world();
    const name = environment();
    const talker = worker('talker', 'echo one; echo two >&2; echo "three ä"; sleep 60');
    await engine.converge(
      plan(name, 1, [release(3, app, { workers: [talker, worker('other', 'echo else; sleep 60')] })]),
    );
    await watcher.serves(name, 3);
    await watcher.until(name, 'the worker to be ready', (status) =>
      status.instances.every((one) => one.state === 'ready'),
    );
    const lines = await all(engine.logs({ environment: name, source: 'talker', lines: 100, follow: false }, never));
    expect(lines.map((line) => `${line.stream} ${line.line}`).sort()).toEqual([
      'stderr two',
      'stdout one',
      'stdout three ä',
    ]);
    expect(lines[0]).toMatchObject({ source: 'talker', release: 3 });
    const newest = await all(engine.logs({ environment: name, source: null, lines: 2, follow: false }, never));
    expect(newest).toHaveLength(2);
    const every = await all(engine.logs({ environment: name, source: null, lines: 100, follow: false }, never));
    expect(every.map((line) => line.line).sort()).toEqual(['else', 'one', 'three ä', 'two']);
    await expect(
      all(engine.logs({ environment: 'conform/none', source: null, lines: 1, follow: false }, never)),
    ).rejects.toMatchObject({ kind: 'not-found' });
    await engine.remove(name);
  });

  test('follow goes on from the past without a gap or a double, until it is aborted', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    await engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    let sent = 0;
    const say = async (): Promise<void> => void (await request(hostOf(name), `/log?line=line-${(sent += 1)}`));
    for (let index = 0; index < 5; index += 1) await say();
    const abort = new AbortController();
    const seen: string[] = [];
    const talking = (async () => {
      for (let index = 0; index < 20; index += 1) await say();
    })();
    for await (const line of engine.logs(
      { environment: name, source: 'web', lines: 100, follow: true },
      abort.signal,
    )) {
      seen.push(line.line);
      if (seen.length === 25) abort.abort();
    }
    await talking;
    expect(seen).toEqual(Array.from({ length: 25 }, (_, index) => `line-${index + 1}`));
  });

  test('exec runs a command beside an instance, with its variables, input, output and exit code', async () => {
    const { engine, watcher, app, environment } = world();
    const name = environment();
    await engine.converge(plan(name, 1, [release(5, app, { variables: { COLOUR: 'green' } })]));
    await watcher.serves(name, 5);
    const output = { stdout: '', stderr: '' };
    const io = {
      stdin: chunks('to you', 'too'),
      stdout: (chunk: Uint8Array) => (output.stdout += Buffer.from(chunk).toString()),
      stderr: (chunk: Uint8Array) => (output.stderr += Buffer.from(chunk).toString()),
      signal: never,
    };
    const command = [
      'sh',
      '-c',
      'cat; echo " $COLOUR $SLIPWAY_RELEASE $1"; echo oops >&2; ls web.js; exit 7',
      'sh',
      'two words',
    ];
    expect(await engine.exec({ environment: name, source: null, command }, io)).toEqual({ exitCode: 7 });
    expect(output).toEqual({ stdout: 'to youtoo green 5 two words\nweb.js\n', stderr: 'oops\n' });
    await expect(engine.exec({ environment: name, source: 'nobody', command: ['true'] }, io)).rejects.toMatchObject({
      kind: 'not-found',
    });
    await expect(
      engine.exec({ environment: name, source: 'web', command: ['no-such-program'] }, io),
    ).rejects.toMatchObject({ kind: 'mistake' });
  });

  test('aborting an exec ends its command', async () => {
    const { engine, watcher, app, environment } = world();
    const name = environment();
    await engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    const abort = new AbortController();
    const io = { stdin: chunks(), stdout: () => abort.abort(), stderr: () => undefined, signal: abort.signal };
    const long = engine.exec(
      { environment: name, source: 'web', command: ['sh', '-c', 'echo started; sleep 600'] },
      io,
    );
    await expect(long).rejects.toMatchObject({ kind: 'transient' });
  });
}

async function all(lines: AsyncIterable<LogLine>): Promise<LogLine[]> {
  return await Array.fromAsync(lines);
}

async function* chunks(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}
