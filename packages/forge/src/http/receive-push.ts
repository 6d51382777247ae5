import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { type GitProcess, end, saysDiskFull, spawnError } from '../git.ts';
import type { GitForge } from '../git-forge.ts';
import { PacketReader, bandPacket, flush, packetLength } from './pkt-line.ts';
import { type PushConsole, SideBandConsole, muteConsole } from './push-console.ts';
import type { BranchChange, ServeGitOptions } from './serve-git-options.ts';

export interface Push {
  app: string;
  actor: string;
  body: Readable;
  response: ServerResponse;
  options: ServeGitOptions;
}

const gibibyte = 1024 ** 3;

/**
 * Takes one push:
 *
 * 1. The first packet is read: what the client can show, and whether it only tries out its token (a lone flush).
 * 2. The repository is made if this is the app's first push.
 * 3. Alone in the repository: refs are read, `git receive-pack` takes the push (its answer goes to the client at once,
 *    except for the last flush), refs are read again, new heads are kept.
 * 4. Others may push; `pushed` is told what changed, and what it says goes to the client until it is done.
 * 5. The flush that was held back ends the response.
 *
 * A client that goes away before receive-pack has everything leaves no trace; afterwards it changes nothing.
 */
export async function receivePush(push: Push): Promise<void> {
  const { app, actor, response, options } = push;
  const { forge, access } = options;
  const body = watchdog(push.body, options.stalledMs ?? 60_000);
  const first = await readFirst(body);
  response.setHeader('Content-Type', 'application/x-git-receive-pack-result');
  if (first.packet === 'flush') {
    response.end();
    return;
  }
  await forge.store.create(app);
  const received = await forge.store.exclusively(app, () => receive(push, body, first));

  const console = openConsole(received, push);
  if (received.diskFull) explainFullDisk(console, options);
  try {
    if (received.changes.length > 0) await access.pushed(app, actor, received.changes, console);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.line(`The push is stored, but what should follow it failed: ${reason}`);
    options.log?.(`After a push into ${app}: ${error instanceof Error ? (error.stack ?? reason) : reason}`);
  } finally {
    if (console instanceof SideBandConsole) console.close();
  }
}

interface First {
  packet: 'flush' | 'side-band' | 'plain';
  bytes: Buffer;
}

type Body = AsyncGenerator<Buffer, void>;

/** The body in chunks. Throws when it breaks off, or nothing comes for `stalledMs` while we wait for it. */
async function* watchdog(body: Readable, stalledMs: number): Body {
  const giveUp = (): void => void body.destroy(new Error('the client sent nothing more'));
  let stalled = setTimeout(giveUp, stalledMs);
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      // While git is slower than the client, the client is not the one that is waited for.
      clearTimeout(stalled);
      yield chunk;
      stalled = setTimeout(giveUp, stalledMs);
    }
  } finally {
    clearTimeout(stalled);
  }
}

/** `OLD NEW REF\0CAPABILITIES` comes first, gitprotocol-pack(5). Capabilities are words. */
async function readFirst(body: Body): Promise<First> {
  let bytes: Buffer = Buffer.alloc(0);
  for (;;) {
    const length = packetLength(bytes);
    if (length !== null && bytes.length >= length) {
      if (length === 4) return { packet: 'flush', bytes };
      const line = bytes.toString('latin1', 4, length);
      const capabilities = line
        .slice(line.indexOf('\0') + 1)
        .trim()
        .split(' ');
      return { packet: capabilities.includes('side-band-64k') ? 'side-band' : 'plain', bytes };
    }
    const next = await body.next();
    if (next.done === true) return { packet: 'flush', bytes };
    bytes = Buffer.concat([bytes, next.value]);
  }
}

interface Received {
  changes: BranchChange[];
  /** `open`: the last flush is held back. `ended`: nothing more may be written. */
  answer: 'open' | 'ended';
  diskFull: boolean;
}

async function receive(push: Push, body: Body, first: First): Promise<Received> {
  const { app, response, options } = push;
  const { forge, maximumPackBytes = gibibyte } = options;
  const before = await forge.refs(app);
  const child = forge.git.spawn([
    '-c',
    `receive.maxInputSize=${maximumPackBytes}`,
    'receive-pack',
    '--stateless-rpc',
    forge.store.path(app),
  ]);
  const complaints = new Complaints();
  child.stderr.on('data', (chunk: Buffer) => complaints.hear(chunk));
  const answer = first.packet === 'side-band' ? passOn(child, response, complaints) : passOnPlain(child, response);
  const exited = exitOf(child);
  // Not awaited: a git that is done early answers at once, while what the client still sends is read and dropped.
  void feed(body, first.bytes, child, 2 * maximumPackBytes);
  const [outcome, held] = await Promise.all([exited, answer]);
  if (outcome !== 'success') await forge.store.sweep(app);
  const changes = await settle(forge, app, before);
  return { changes, answer: finish(outcome, held, first, response), diskFull: complaints.diskFull };
}

/** What the repository says happened, with every new head held from now on. */
async function settle(forge: GitForge, app: string, before: Map<string, string>): Promise<BranchChange[]> {
  const after = await forge.refs(app);
  const changes: BranchChange[] = [];
  for (const branch of new Set([...before.keys(), ...after.keys()])) {
    const change = { branch, before: before.get(branch) ?? null, after: after.get(branch) ?? null };
    if (change.before !== change.after) changes.push(change);
  }
  // The old heads too: an earlier process may have been killed right here.
  await forge.keep(
    app,
    changes.flatMap((change) => [change.before, change.after]).filter((sha) => sha !== null),
  );
  await forge.settleDefaultBranch(app, after);
  return changes;
}

/** Writes the body to git. A git that has heard enough gets no more, but the client may say all (it would not read else). */
async function feed(body: Body, first: Buffer, child: GitProcess, maximum: number): Promise<void> {
  let size = first.length;
  try {
    child.stdin.write(first);
    for await (const chunk of body) {
      size += chunk.length;
      if (size > maximum + gibibyte) throw new Error('the client sends more than any push may have');
      if (child.stdin.writable && !child.stdin.write(chunk)) await drained(child);
    }
    child.stdin.end();
  } catch {
    // Gone or stalled in the middle. SIGTERM lets git remove what it wrote.
    end(child, 'SIGTERM');
    child.stdin.destroy();
  }
}

function drained(child: GitProcess): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      child.stdin.off('drain', go).off('close', go).off('error', go);
      resolve();
    };
    child.stdin.on('drain', go).on('close', go).on('error', go);
  });
}

type Outcome = 'success' | 'failure' | 'killed';

function exitOf(child: GitProcess): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(spawnError(error)));
    child.once('exit', (code) => {
      // Its index-pack would read on if it was killed alone.
      end(child, 'SIGKILL');
      resolve(code === 0 ? 'success' : code === null ? 'killed' : 'failure');
    });
  });
}

/** Sends git's packets to the client as they come; says whether the last one was a flush, which is held back. */
async function passOn(child: GitProcess, response: ServerResponse, complaints: Complaints): Promise<'held' | 'none'> {
  const packets = new PacketReader();
  let held: 'held' | 'none' = 'none';
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    for (const packet of packets.read(chunk)) {
      held = packet.kind === 'flush' ? 'held' : 'none';
      if (packet.payload[0] === 2 || packet.payload[0] === 3) complaints.hear(packet.payload.subarray(1));
      if (held === 'none' && !response.destroyed) response.write(packet.raw);
    }
  }
  return held;
}

async function passOnPlain(child: GitProcess, response: ServerResponse): Promise<'none'> {
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) if (!response.destroyed) response.write(chunk);
  return 'none';
}

function finish(outcome: Outcome, held: 'held' | 'none', first: First, response: ServerResponse): 'open' | 'ended' {
  if (held === 'held') return 'open';
  if (first.packet === 'side-band' && outcome !== 'success' && !response.destroyed) {
    const why = 'Slipway was interrupted while it received this push. Push again.\n';
    response.write(bandPacket(3, why));
    response.end(flush);
    return 'ended';
  }
  if (outcome === 'killed' && !response.headersSent) response.statusCode = 500;
  response.end();
  return 'ended';
}

function openConsole({ answer }: Received, { response, options }: Push): PushConsole {
  if (answer === 'ended') return muteConsole();
  return new SideBandConsole(response, options.forge.stopping, options.keepAliveMs ?? 5000);
}

function explainFullDisk(console: PushConsole, { log, forge }: ServeGitOptions): void {
  console.line('The disk of Slipway is full, so the push was not stored. Nothing else changed.');
  console.line('Ask who runs it to free space, then push again.');
  log?.(`A push was refused because the disk that holds ${forge.store.path('APP')} is full. Free space there.`);
}

/** The end of what git complained about. */
class Complaints {
  #text = '';

  hear(chunk: Buffer): void {
    this.#text = (this.#text + chunk.toString('latin1')).slice(-4000);
  }

  get diskFull(): boolean {
    return saysDiskFull(this.#text);
  }
}
