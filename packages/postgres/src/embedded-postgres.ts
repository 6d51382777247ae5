import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, open, readFile, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Account, chooseAccount, findBlockingFolder } from './account.ts';
import { type Binaries, findBinaries } from './binaries.ts';
import { ensureCluster, ensureFolder, ensurePassword, isAlive, SUPERUSER } from './cluster.ts';
import { explainFailure, readFrom } from './failure.ts';
import { askPostmaster, clearStalePidFile, findPostmaster, type Postmaster } from './postmaster.ts';
import { type Durability, quietSettings } from './settings.ts';
import { ensureSocketFolder, socketFolderOf } from './socket.ts';

export interface EmbeddedPostgresOptions {
  /** Everything is kept in here: data, password, log. Made when missing. */
  folder: string;
  /** Also listen on 127.0.0.1 at this port. Default: a private unix socket only. */
  port?: number;
  /** Default `yes`; `no` is for tests. */
  durable?: Durability;
  /** PostgreSQL settings that replace ours, e.g. `{ max_connections: '200' }`. They take effect when it is started, not when it is adopted. */
  settings?: Record<string, string>;
  /** Gets one line per event worth telling an operator. */
  log?: (message: string) => void;
}

export interface PostgresExit {
  /** `stopped`: `stop()` was called. `died`: anything else; start it again. */
  cause: 'stopped' | 'died';
  /** For operators. */
  message: string;
}

const START_SECONDS = 120; // recovery after a crash replays at most max_wal_size
const FAST_STOP_SECONDS = 20;
/** Also names the socket, when there is no port. */
const USUAL_PORT = 5432;
const POLL_MS = 25;
const ADOPTED_POLL_MS = 1_000;
const LOG_LIMIT_BYTES = 8 * 1024 * 1024;

/**
 * A real PostgreSQL with its data in a folder. It runs in a session of its own, so that neither Ctrl-C in the terminal nor
 * `kill -9` of this process takes it down; the next `start()` on the same folder adopts it.
 *
 * | found by `start()`                                    | what it does |
 * | ----------------------------------------------------- | ------------ |
 * | no data                                               | initdb, spawn |
 * | data, no postmaster (or a stale postmaster.pid)       | spawn; PostgreSQL recovers from its log |
 * | a postmaster that answers with our password           | adopt |
 * | a postmaster that is starting                         | wait, adopt |
 * | a postmaster that is stopping                         | wait until it is gone, spawn |
 * | a postmaster that runs but can't be reached           | end it, spawn |
 *
 * ```ts
 * const postgres = new EmbeddedPostgres({ folder: '/var/lib/slipway/postgres' });
 * await postgres.start();
 * const pool = connectPool(postgres.url);
 * ```
 */
export class EmbeddedPostgres {
  readonly #folder: string;
  readonly #data: string;
  readonly #logFile: string;
  readonly #options: EmbeddedPostgresOptions;
  #account: Account = null;
  #running: {
    pid: number;
    url: string;
    exited: Promise<PostgresExit>;
    beginStop: () => void;
    endStop: () => void;
  } | null = null;
  #starting: Promise<void> | null = null;
  #stopping: Promise<void> | null = null;

  constructor(options: EmbeddedPostgresOptions) {
    this.#options = options;
    this.#folder = path.resolve(options.folder);
    this.#data = path.join(this.#folder, 'data');
    this.#logFile = path.join(this.#folder, 'postgres.log');
  }

  /** Connection URL of the superuser, with its password: a secret. @throws {Error} before `start()`. */
  get url(): string {
    return this.#started().url;
  }

  /** Process id of the postmaster. @throws {Error} before `start()`. */
  get pid(): number {
    return this.#started().pid;
  }

  /** Resolves (never rejects) when the PostgreSQL of the last `start()` has ended. @throws {Error} before `start()`. */
  get exited(): Promise<PostgresExit> {
    return this.#started().exited;
  }

  #started() {
    if (this.#running === null) throw new Error('This PostgreSQL is not running: call start() first.');
    return this.#running;
  }

  /**
   * Resolves when PostgreSQL takes connections. Safe to call again, also after it died.
   *
   * @throws {Error} saying what to do: full disk, taken port, damaged data, a folder the unprivileged user can't enter.
   */
  async start(): Promise<void> {
    await this.#stopping;
    if (this.#running !== null && isAlive(this.#running.pid)) return;
    this.#starting ??= this.#startNow().finally(() => (this.#starting = null));
    return this.#starting;
  }

  async #startNow(): Promise<void> {
    this.#account = await chooseAccount(this.#data);
    await ensureFolder(this.#folder, this.#account === null ? 0o700 : 0o711, null);
    await this.#requireReachableFolder();
    const binaries = await findBinaries(this.#folder, this.#account);
    const password = await ensurePassword(path.join(this.#folder, 'password'));
    const { durable = 'yes' } = this.#options;
    await ensureCluster(this.#data, { account: this.#account, binaries, password, durable });
    // A volume that Kubernetes gives to a group (`fsGroup`) lets the group in, and then PostgreSQL refuses its folder.
    if (this.#account === null) await chmod(this.#data, 0o700);
    const socketFolder = await ensureSocketFolder(this.#folder, this.#account);

    const deadline = Date.now() + START_SECONDS * 1_000;
    while (Date.now() < deadline) {
      if (await this.#adopt(password, deadline)) return;
      if (await this.#spawn(binaries, password, socketFolder, deadline)) return;
    }
    throw new Error(
      `PostgreSQL did not get ready within ${START_SECONDS} s. It may still be recovering from a crash: see ${this.#logFile}, then start again.`,
    );
  }

  async #requireReachableFolder(): Promise<void> {
    const blocking = await findBlockingFolder(this.#folder, this.#account);
    if (blocking === null) return;
    throw new Error(
      `PostgreSQL can't run as root, and the unprivileged user ${this.#account?.uid}, which it runs as instead, may not enter ${blocking}. ` +
        `Keep the data elsewhere (for example in /var/lib/slipway), or allow it to pass: chmod o+x ${blocking}`,
    );
  }

  /** Takes over the postmaster that runs on our data, if there is one that serves. False: there is none any more. */
  async #adopt(password: string, deadline: number): Promise<boolean> {
    let unreachable = 0;
    while (Date.now() < deadline) {
      const postmaster = await findPostmaster(this.#data);
      if (postmaster === null) return false;
      const url = connectionUrl(password, postmaster);
      const reply = postmaster.status === 'stopping' ? 'not-yet' : await askPostmaster(url);
      if (reply === 'answers') {
        this.#options.log?.(`postgres: adopted the one that runs already, process ${postmaster.pid}`);
        this.#watch(postmaster.pid, url, watchProcess(postmaster.pid));
        return true;
      }
      if (reply === 'stranger') {
        throw new Error(
          `A PostgreSQL runs on ${this.#data} (process ${postmaster.pid}), but it does not accept the password in ${path.join(this.#folder, 'password')}. ` +
            'Put that file back, or stop that PostgreSQL and restore the folder from a backup.',
        );
      }
      // Its socket was deleted, or it hangs: it serves nobody, and while it lives no other can start.
      if (reply === 'unreachable' && ++unreachable > 40 && postmaster.status !== 'starting') {
        this.#options.log?.(`postgres: process ${postmaster.pid} does not answer; ending it and starting a new one`);
        await endPostmaster(postmaster.pid);
      }
      await delay(POLL_MS);
    }
    return false;
  }

  /** Starts a postmaster. False: another process was faster, or the last one's children are not gone yet; look again. */
  async #spawn(binaries: Binaries, password: string, socketFolder: string, deadline: number): Promise<boolean> {
    await clearStalePidFile(this.#data);
    const logStart = await this.#turnLog();
    const log = await open(this.#logFile, 'a', 0o600);
    let child: ChildProcess;
    let ended: Promise<string>;
    try {
      child = spawn(binaries.postgres, this.#arguments(socketFolder), {
        cwd: this.#data,
        env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' },
        stdio: ['ignore', log.fd, log.fd],
        detached: true,
        ...this.#account,
      });
      // Before anything is awaited: one that ends at once would end unheard, and be waited for without end.
      ended = watchChild(child);
    } finally {
      await log.close();
    }
    child.unref();
    const over = () => child.pid === undefined || child.exitCode !== null || child.signalCode !== null;

    while (!over() && Date.now() < deadline) {
      const postmaster = await findPostmaster(this.#data);
      if (postmaster?.pid === child.pid && postmaster?.status === 'ready') {
        const url = connectionUrl(password, postmaster);
        if ((await askPostmaster(url)) === 'answers') {
          this.#options.log?.(`postgres: started, process ${postmaster.pid}`);
          this.#watch(postmaster.pid, url, ended);
          return true;
        }
      }
      await delay(POLL_MS);
    }
    if (!over()) return false;
    const output = await readFrom(this.#logFile, logStart);
    if (/lock file ".*" already exists|pre-existing shared memory block/.test(output)) {
      await delay(POLL_MS * 4);
      return false;
    }
    throw new Error(explainFailure('PostgreSQL did not start', `${output}\n${await ended}`, this.#logFile));
  }

  #arguments(socketFolder: string): string[] {
    const { durable = 'yes', port, settings } = this.#options;
    const all = {
      ...quietSettings(durable),
      unix_socket_directories: socketFolder,
      listen_addresses: port === undefined ? '' : '127.0.0.1',
      port: String(port ?? USUAL_PORT),
      ...settings,
    };
    return ['-D', this.#data, ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
  }

  /** Moves a long log aside. Returns where the next line will start. */
  async #turnLog(): Promise<number> {
    const size = (await stat(this.#logFile).catch(() => null))?.size ?? 0;
    if (size < LOG_LIMIT_BYTES) return size;
    await rename(this.#logFile, `${this.#logFile}.old`);
    return 0;
  }

  #watch(pid: number, url: string, ended: Promise<string>): void {
    let cause: PostgresExit['cause'] = 'died';
    // An adopted one is looked at once a second only; who stopped it knows at once.
    const { promise: stopped, resolve: endStop } = Promise.withResolvers<string>();
    const exited = Promise.race([ended, stopped]).then((how): PostgresExit => {
      if (cause === 'stopped') return { cause, message: 'PostgreSQL was stopped.' };
      const message = `PostgreSQL (process ${pid}) ${how}. Nothing that was committed is lost; it recovers when it is started again. (log: ${this.#logFile})`;
      this.#options.log?.(`postgres: ${message}`);
      return { cause, message };
    });
    this.#running = { pid, url, exited, beginStop: () => (cause = 'stopped'), endStop: () => endStop('was stopped') };
  }

  /** Fast shutdown: running transactions are rolled back, connections closed. Resolves when it is gone; fine when it never ran. */
  async stop(): Promise<void> {
    await this.#starting?.catch(() => undefined);
    this.#stopping ??= this.#stopNow().finally(() => (this.#stopping = null));
    return this.#stopping;
  }

  async #stopNow(): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    running.beginStop();
    await endPostmaster(running.pid);
    running.endStop();
    await running.exited;
    this.#running = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/**
 * The URL of the PostgreSQL that another process keeps in `folder`, once it takes connections. It may be in another container, where its process
 * can't be seen: only the files and the socket count.
 *
 * @returns null when nobody has ever started one there; it has no password then.
 * @throws {Error} when it does not answer within `seconds`.
 */
export async function neighbourUrl(folder: string, seconds: number): Promise<string | null> {
  const password = await readFile(path.join(folder, 'password'), 'utf8').catch(() => null);
  if (password === null) return null;
  const url = connectionUrl(password.trim(), { port: USUAL_PORT, socketFolder: socketFolderOf(folder) });
  const deadline = Date.now() + seconds * 1_000;
  for (;;) {
    const reply = await askPostmaster(url);
    if (reply === 'answers') return url;
    if (reply === 'stranger')
      throw new Error(`The PostgreSQL in ${folder} does not accept the password in ${path.join(folder, 'password')}.`);
    if (Date.now() > deadline) throw new Error(`The PostgreSQL in ${folder} did not answer within ${seconds} s.`);
    await delay(POLL_MS * 4);
  }
}

/** In the form that libpq and pg both read: the socket's folder as `host` parameter. */
function connectionUrl(password: string, { port, socketFolder }: Pick<Postmaster, 'port' | 'socketFolder'>): string {
  return `postgresql://${SUPERUSER}:${password}@localhost/postgres?host=${encodeURIComponent(socketFolder)}&port=${port}`;
}

/** Resolves with how the child ended, also when it could not be executed. */
function watchChild(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) =>
      resolve(signal === null ? `ended with code ${code}` : `was ended by ${signal}`),
    );
    child.once('error', (error) => resolve(`error: could not be executed: ${error.message}`));
  });
}

/** The end of a process that is not our child can't be waited for, only noticed. */
function watchProcess(pid: number): Promise<string> {
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      if (isAlive(pid)) return;
      clearInterval(timer);
      resolve('ended');
    }, ADOPTED_POLL_MS);
    timer.unref();
  });
}

/** SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one (as after a crash). */
async function endPostmaster(pid: number): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    if (!isAlive(pid)) return;
    process.kill(pid, signal);
    const deadline = Date.now() + FAST_STOP_SECONDS * 1_000;
    while (isAlive(pid) && Date.now() < deadline) await delay(POLL_MS);
  }
}
