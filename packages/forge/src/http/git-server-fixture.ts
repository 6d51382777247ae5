import { mkdtemp, rm } from 'node:fs/promises';
import { type Server, createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Developer } from '../conformance/index.ts';
import { GitForge } from '../git-forge.ts';
import type { PushConsole } from './push-console.ts';
import { serveGit } from './serve-git.ts';
import type { BranchChange, Decision, ServeGitOptions } from './serve-git-options.ts';

type Pushed = (app: string, actor: string, changes: BranchChange[], console: PushConsole) => Promise<void>;

/** For tests: a forge behind real HTTP on loopback, with three tokens: `viewer`, `deployer`, `admin`. */
export class GitServer {
  readonly forge: GitForge;
  readonly folder: string;
  readonly server: Server;
  /** Every change that was reported. */
  readonly changes: Array<BranchChange & { app: string; actor: string }> = [];
  readonly logged: string[] = [];
  /** What `pushed` does after it has noted the changes. */
  onPush: Pushed = async () => {};
  readonly #developers: Developer[] = [];

  private constructor(folder: string, options: Partial<ServeGitOptions>) {
    this.folder = folder;
    this.forge = new GitForge({ folder, log: (message) => this.logged.push(message), stopGraceMs: 200 });
    this.server = createServer({ requestTimeout: 0 }, (request, response) => {
      void serveGit(request, response, {
        forge: this.forge,
        access: {
          authorize: async ({ token }, _app, action) => decide(token, action),
          pushed: async (app, actor, changes, console) => {
            this.changes.push(...changes.map((change) => ({ ...change, app, actor })));
            await this.onPush(app, actor, changes, console);
          },
        },
        log: (message) => this.logged.push(message),
        ...options,
      });
    });
  }

  static async start(options: Partial<ServeGitOptions> = {}, folder?: string): Promise<GitServer> {
    const server = new GitServer(folder ?? (await mkdtemp(join(tmpdir(), 'slipway-forge-'))), options);
    await server.forge.start();
    await new Promise<void>((resolve) => server.server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  url(app: string, token: string | null = 'admin'): string {
    const address = this.server.address();
    const port = typeof address === 'object' ? address?.port : address;
    return `http://${token === null ? '' : `slipway:${token}@`}127.0.0.1:${port}/git/${app}.git`;
  }

  async developer(app: string, token: string | null = 'admin'): Promise<Developer> {
    const developer = await Developer.clone(this.url(app, token));
    this.#developers.push(developer);
    return developer;
  }

  async stop(): Promise<void> {
    await this.forge.stop();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    for (const developer of this.#developers) await developer.remove();
    await rm(this.folder, { recursive: true, force: true });
  }
}

function decide(token: string | null, action: 'read' | 'write'): Decision {
  if (token === null) return { allow: false, status: 401, message: 'Give a token as the password.' };
  if (!['viewer', 'deployer', 'admin'].includes(token)) {
    return { allow: false, status: 401, message: 'This token is not known, or was revoked.' };
  }
  if (token === 'viewer' && action === 'write') {
    return { allow: false, status: 403, message: 'A viewer may not push. Ask an admin for a deployer token.' };
  }
  return { allow: true, actor: `token:${token}`, create: token === 'admin' ? 'yes' : 'no' };
}
