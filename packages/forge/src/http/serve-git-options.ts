import type { GitForge } from '../git-forge.ts';
import type { PushConsole } from './push-console.ts';

/**
 * What someone may do. `create: 'yes'`: their first push makes the app. A refusal's message is shown as `remote: ...`.
 */
export type Decision =
  | { allow: true; actor: string; create: 'yes' | 'no' }
  | { allow: false; status: 401 | 403 | 404; message: string };

/** What a push did to one branch, as found in the repository. `before` null: new. `after` null: deleted. */
export interface BranchChange {
  branch: string;
  before: string | null;
  after: string | null;
}

export interface GitAccess {
  /** `token` is the password of basic authentication, or a bearer token; null: none was sent. */
  authorize(credentials: { token: string | null }, app: string, action: 'read' | 'write'): Promise<Decision>;
  /**
   * Told after each push that changed a branch. The push is over then, whatever this does: the client is kept only as long
   * as the promise is pending, so that it sees the console, and may leave before.
   */
  pushed(app: string, actor: string, changes: BranchChange[], console: PushConsole): Promise<void>;
}

export interface ServeGitOptions {
  forge: GitForge;
  access: GitAccess;
  /** Bytes that one push may bring. Default 1 GiB. */
  maximumPackBytes?: number;
  /** Milliseconds between signs of life on a silent console. Default 5000. */
  keepAliveMs?: number;
  /** Milliseconds without a byte after which a client that is still sending is given up. Default 60000. */
  stalledMs?: number;
  /** Gets one sentence for each thing that went wrong on our side. */
  log?: (message: string) => void;
}
