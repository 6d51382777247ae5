import { chmod, mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { SlipwayError } from '@slipway/app';
import { TreeWatch, type Pace } from '@slipway/queue/processes';
import { Router } from '../router/router.ts';
import { systemClock, type Clock } from './clock.ts';
import type { Host } from './host.ts';
import { lockFolder } from './lock.ts';
import { markVariable } from './mark.ts';
import { freePort } from './ports.ts';
import { AgentServer } from './server.ts';
import { prepareSocket, removeSocket } from './socket-path.ts';
import { Supervisor } from './supervisor.ts';
import { closedRunner, installedRunner, shellWords } from './runner.ts';
import { nobody, openFolderTo, pathForApps, type AppUser } from './user.ts';
import { messageOf } from './thrown.ts';

export interface AgentOptions {
  /** Where plans, logs, results and the socket are. One agent per folder. */
  folder: string;
  /** Address the router listens on. Default 127.0.0.1. */
  routerHost?: string;
  /** 0: a free one. */
  routerPort: number;
  /** What host names end in; told to whoever asks for the agent's health. Default `localhost`. */
  domain?: string;
  /** One line for the operator. */
  log?: (message: string) => void;
  clock?: Clock;
  /** User that apps and jobs run as when the agent is root. Default 65534, `nobody`. */
  user?: AppUser;
  /** Program and arguments that start the runner, which does the tasks of a queue. Default: the one of this installation, with this Node. */
  runner?: readonly string[];
  /** How a port for a new process is found. */
  choosePort?: () => Promise<number>;
}

/**
 * How an agent stops.
 *
 * | mode | what happens to the apps |
 * | --- | --- |
 * | leave    | they keep running; the next agent of this folder adopts them (an upgrade, a restart) |
 * | shutdown | they are stopped, gently; their plans stay, so the next agent starts them again |
 */
export type StopMode = 'leave' | 'shutdown';

/** Memory of instances: five times a second while one grows or is near its limit, else ever more seldom. */
const memoryPace: Pace = {
  shortest: 200,
  longest: 5000,
  relistAfter: 15_000,
  relistNearAfter: 1000,
  together: 500,
};

/** The version that engine and agent speak. */
const version = '0.1.0';

/** The agent: keeps processes as the plans say and routes requests to them, whether the control plane is there or not. */
export class Agent {
  readonly #options: AgentOptions;
  readonly #log: (message: string) => void;
  #router: Router | null = null;
  #supervisor: Supervisor | null = null;
  /** What has to be undone, newest last. */
  #releasers: ((mode: StopMode) => Promise<void> | void)[] = [];
  #stopping: Promise<void> | null = null;
  readonly #ended = Promise.withResolvers<void>();

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#log = options.log ?? (() => undefined);
  }

  /** Port of the router. */
  get routerPort(): number {
    return this.#router?.port ?? this.#options.routerPort;
  }

  /** Resolves when the agent has stopped, on request of whoever. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** @throws {SlipwayError} `conflict` when another agent keeps the folder or the port is taken; `mistake` when apps could not run in it. */
  async start(): Promise<void> {
    if (this.#supervisor !== null) return;
    try {
      await this.#start();
    } catch (error) {
      await this.stop('leave');
      throw error;
    }
  }

  async #start(): Promise<void> {
    const options = this.#options;
    const folder = resolve(options.folder);
    const user = process.getuid?.() === 0 ? (options.user ?? nobody) : null;
    await openFolderTo(user, folder);
    this.#releasers.push(lockFolder(folder));
    await portIsFree(options.routerHost ?? '127.0.0.1', options.routerPort);

    const router = new Router({
      host: options.routerHost ?? '127.0.0.1',
      port: options.routerPort,
      events: { wake: async (environment) => await this.#supervisor?.wake(environment) },
      log: this.#log,
    });
    this.#router = router;
    this.#releasers.push(() => router.stop());

    const supervisor = new Supervisor(await this.#host(folder, user, router));
    this.#supervisor = supervisor;
    this.#releasers.push((mode) => (mode === 'leave' ? supervisor.leave() : supervisor.shutDown()));
    // Tables first, then the port: no request of a restart meets a router that knows nothing.
    await supervisor.start();
    await router.start();

    const server = new AgentServer({
      supervisor,
      health: () => ({ pid: process.pid, routerPort: router.port, version, domain: options.domain ?? 'localhost' }),
      shutDown: () => void this.stop('shutdown'),
      log: this.#log,
    });
    await server.start(prepareSocket(folder));
    this.#releasers.push(async () => {
      removeSocket(folder);
      await server.stop();
    });
  }

  async #host(folder: string, user: AppUser | null, router: Router): Promise<Host> {
    for (const part of ['instances', 'jobs']) {
      await mkdir(join(folder, part), { recursive: true });
      await chmod(join(folder, part), 0o711);
    }
    await mkdir(join(folder, 'environments'), { recursive: true, mode: 0o700 });
    const runner = this.#options.runner ?? installedRunner(user);
    const closed = closedRunner(runner, user);
    if (closed !== null) this.#log(closed);
    const memory = new TreeWatch(memoryPace, markVariable);
    this.#releasers.push(() => memory.stop());
    return {
      folder,
      user,
      path: await pathForApps(user, folder),
      runner: shellWords(runner),
      routerPort: () => router.port,
      routes: router,
      memory,
      clock: this.#options.clock ?? systemClock,
      choosePort: this.#options.choosePort ?? freePort,
      log: this.#log,
    };
  }

  /** Safe to call twice, or before `start`. The first call decides the mode. */
  async stop(mode: StopMode = 'leave'): Promise<void> {
    this.#stopping ??= this.#stop(mode);
    await this.#stopping;
  }

  async #stop(mode: StopMode): Promise<void> {
    for (const release of this.#releasers.splice(0).toReversed()) {
      try {
        await release(mode);
      } catch (error) {
        this.#log(`While stopping: ${messageOf(error)}`);
      }
    }
    this.#ended.resolve();
  }
}

/** Before anything is started: a router without its port would make every app unreachable. */
async function portIsFree(host: string, port: number): Promise<void> {
  if (port === 0) return;
  await new Promise<void>((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'EADDRINUSE' ? 'another program listens on it' : error.message;
      reject(
        new SlipwayError('conflict', `The router can't listen on ${host}:${port}, because ${reason}.`, {
          hint: 'End that program, or choose another port with --router-port.',
          cause: error,
        }),
      );
    });
    probe.listen(port, host, () => probe.close(() => resolve()));
  });
}
