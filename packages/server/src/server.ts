import { createServer, type Server as HttpServer } from 'node:http';
import { mkdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { getRequestListener } from '@hono/node-server';
import { SlipwayError } from '@slipway/app';
import { GitForge, serveGit } from '@slipway/forge';
import { createMachineEngine } from '@slipway/machine';
import { connectPool, migrate, Queue, type QueueEvent } from '@slipway/queue';
import { folderStore, openStore } from '@slipway/queue/objects';
import { acceptAdminToken } from './access/tokens.ts';
import { createApi } from './api/api.ts';
import { ExecSockets } from './api/exec.ts';
import { queueFace } from './api/queue-face.ts';
import { gitAccess } from './commits/git-access.ts';
import type { Context } from './context.ts';
import { clusterSource } from './environments/clusters.ts';
import { Engines } from './environments/engines.ts';
import { Fleet } from './environments/fleet.ts';
import { OwnCluster, readDeclaration } from './environments/own-cluster.ts';
import { Reconciler } from './environments/reconcile.ts';
import { Changes } from './events/changes.ts';
import { sweepArtifacts } from './releases/collect.ts';
import { resumeOpenWork } from './resume.ts';
import { registerWork } from './work.ts';
import { scheduleCollection } from './workers/collect-objects.ts';
import { DeadTasks } from './workers/dead-tasks.ts';
import { QueueKinds } from './workers/queue-kinds.ts';
import { openQueueAccess, tellWhereWeAnswer } from './workers/queue-access.ts';
import { tasksSchema } from './workers/queue-name.ts';
import { Scaler } from './workers/scaler.ts';

export interface ServerOptions {
  /** Gets `server.json` when the server answers. */
  home: string;
  /** Holds repositories and artifacts. Users that apps run as must be able to reach it. */
  dataFolder: string;
  host?: string;
  /** 0: any free one. */
  port: number;
  databaseUrl: string;
  /** The agent's folder, where its socket is. */
  agentFolder: string;
  /** For the URLs of environments. */
  routerPort: number;
  /** Environments are `<environment>.<app>.<domain>`. Default `localhost`. */
  domain?: string;
  /** A file with the operator's admin token; it is accepted from the start. */
  adminTokenFile?: string;
  /** Name and settings of the cluster that the control plane runs in, as JSON; it is made an engine. */
  ownCluster?: string;
  /** Where payloads and files of tasks are kept: `s3://...` or `file:///...`. Default: the variable SLIPWAY_OBJECTS, else a folder of the data folder. */
  objectsUrl?: string;
  /** Built files of the dashboard. */
  dashboardFolder?: string;
  /**
   * | role | does |
   * | --- | --- |
   * | all | answers requests and works on tasks (default) |
   * | worker | works on tasks only, beside servers on the same database |
   */
  role?: 'all' | 'worker';
  version?: string;
  log?: (message: string) => void;
}

/**
 * The control plane: started part by part, each needing those above it; stopped in reverse.
 */
export class Server {
  readonly #options: ServerOptions;
  /** How to stop what has been started, newest last. */
  readonly #releasers: (() => Promise<unknown> | void)[] = [];
  #url = '';

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  /** Where it answers, known once started. */
  get url(): string {
    return this.#url;
  }

  /** Starts every part; when one fails, those before it are stopped again. */
  async start(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const options = this.#options;
    const log = options.log ?? ((message: string) => console.error(message));
    const pool = connectPool(options.databaseUrl, {
      max: 12,
      onError: (error) => log(`a database connection was lost: ${error.message}`),
    });
    this.#releasers.push(() => pool.end());
    await migrate(pool, { schema: 'slipway', folder: path.join(import.meta.dirname, 'database', 'migrations') });

    const queue = new Queue({ pool, onEvent: (event) => logQueueEvent(event, log) });
    await queue.migrate();

    const data = await makeDataFolder(options.dataFolder);
    const forge = new GitForge({ folder: path.join(data, 'repositories'), log });
    await forge.start();
    this.#releasers.push(() => forge.stop());

    const changes = new Changes(pool, log);
    await changes.start();
    this.#releasers.push(() => changes.stop());

    const engine = createMachineEngine({ folder: options.agentFolder });
    const engines = new Engines({
      machine: {
        engine,
        fleet: new Fleet(engine, log),
        domain: options.domain ?? 'localhost',
        port: `:${options.routerPort}`,
        controlPlaneUrl: null,
      },
      source: clusterSource(pool, log),
      changes,
      log,
    });
    await engines.start();
    this.#releasers.push(() => engines.stop());

    if (options.ownCluster !== undefined && options.role !== 'worker') {
      const ownCluster = new OwnCluster(pool, readDeclaration(options.ownCluster), log);
      ownCluster.start();
      this.#releasers.push(() => ownCluster.stop());
    }

    const kinds = new QueueKinds({ pool, changes });
    await kinds.start();
    this.#releasers.push(() => kinds.stop());

    const objectsUrl = options.objectsUrl ?? process.env['SLIPWAY_OBJECTS'];
    const objects = objectsUrl === undefined ? folderStore(path.join(data, 'objects')) : openStore(objectsUrl);
    const tasks = new Queue({ pool, schema: tasksSchema, objects, onEvent: (event) => logQueueEvent(event, log) });
    await tasks.migrate();
    const context: Context = {
      pool,
      queue,
      tasks,
      objects,
      queueAccess: await openQueueAccess(pool),
      kinds,
      forge,
      engines,
      changes,
      artifacts: path.join(data, 'artifacts'),
      log,
    };
    await mkdir(context.artifacts, { recursive: true });

    if (options.adminTokenFile !== undefined)
      await acceptAdminToken(pool, (await readFile(options.adminTokenFile, 'utf8')).trim());

    // A worker beside a server must not take what that one is just making for a leftover.
    if (options.role !== 'worker') await sweepArtifacts(context);
    await tasks.start();
    this.#releasers.push(() => tasks.stop());
    const deadTasks = new DeadTasks(context);
    await deadTasks.start();
    this.#releasers.push(() => deadTasks.stop());
    // Before anything is planned: plans tell processes where we answer.
    if (options.role !== 'worker') await this.#listen(context, forge);

    const reconciler = new Reconciler(context);
    await reconciler.start();
    this.#releasers.push(() => reconciler.stop());

    registerWork(context);
    await queue.start();
    this.#releasers.push(() => queue.stop());
    await scheduleCollection(context);
    const scaler = new Scaler(context);
    await scaler.start();
    this.#releasers.push(() => scaler.stop());

    await resumeOpenWork(context);
    this.#releasers.push(changes.onReconnected(() => void resumeOpenWork(context)));
  }

  async #listen(context: Context, forge: GitForge): Promise<void> {
    const options = this.#options;
    const { log } = context;
    const api = createApi(context, {
      version: options.version ?? '0.0.0',
      dashboardFolder: options.dashboardFolder ?? null,
    });
    const answer = getRequestListener(api.fetch);
    const access = gitAccess(context);
    const queues = queueFace(context);
    const server = createServer((request, response) => {
      if (request.url?.startsWith('/git/')) void serveGit(request, response, { forge, access, log });
      else if (request.url?.startsWith('/queues/')) void queues(request, response);
      else void answer(request, response);
    });
    // A large push over a slow line takes as long as it takes; whoever stalls is given up by the forge.
    server.requestTimeout = 0;
    const sockets = new ExecSockets(context);
    server.on('upgrade', (request, socket, head) => sockets.upgrade(request, socket, head));
    const port = await listen(server, options.host ?? '127.0.0.1', options.port);
    this.#releasers.push(() => closeServer(server, sockets));
    this.#url = `http://${options.host === undefined ? 'localhost' : hostForApps(options.host)}:${port}`;
    await tellWhereWeAnswer(context.pool, `http://${hostForApps(options.host)}:${port}`);
    const file = path.join(options.home, 'server.json');
    await writeWhole(file, JSON.stringify({ url: this.#url, pid: process.pid, startedAt: new Date().toISOString() }));
    this.#releasers.push(() => rm(file, { force: true }));
  }

  /** Stops everything that was started; what runs in environments keeps running. Safe to call twice, or before `start`. */
  async stop(): Promise<void> {
    for (let release = this.#releasers.pop(); release; release = this.#releasers.pop()) await release();
  }
}

/**
 * Runs the control plane until SIGTERM or SIGINT.
 *
 * @throws {SlipwayError} `mistake` when its port is taken; whatever the database says when it can't be reached.
 */
export async function runServer(options: ServerOptions): Promise<void> {
  const server = new Server(options);
  const stopped = new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  await server.start();
  await stopped;
  await server.stop();
}

/** What becomes of single tasks is told by the tasks; the rest an operator may have to know. */
const quiet: ReadonlySet<QueueEvent['event']> = new Set([
  'connected',
  'done',
  'escalated',
  'interrupted',
  'retry',
  'snoozed',
]);

function logQueueEvent(event: QueueEvent, log: (message: string) => void): void {
  if (!quiet.has(event.event)) log(`queue: ${JSON.stringify(event)}`);
}

/** Where processes on this machine reach a server that listens on `host`. Not by name: that may mean an address it does not listen on. */
function hostForApps(host = '127.0.0.1'): string {
  if (host === '0.0.0.0' || host === 'localhost') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}

/** Real path, because the users apps run as may not be allowed through a link in somebody's home. */
async function makeDataFolder(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  return await realpath(folder);
}

async function writeWhole(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

async function listen(server: HttpServer, host: string, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE';
      reject(
        taken
          ? new SlipwayError('mistake', `Port ${port} is taken by another program.`, {
              hint: 'Choose another one with --port N.',
              cause: error,
            })
          : error,
      );
    });
    server.listen(port, host, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return address.port;
}

/** Streams that never end by themselves must not hold the stop up. */
async function closeServer(server: HttpServer, sockets: ExecSockets): Promise<void> {
  sockets.stop();
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), 500).unref();
  });
}
