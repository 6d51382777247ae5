/**
 * Where commits and pull requests come from. Plain git pushed to Slipway is the first forge; others follow the same
 * contract and pass the same conformance suite. Hints (a push, a webhook) only say "look again": the truth is read
 * with `refs` and `pullRequests`, so a lost or repeated hint changes nothing.
 */
export interface Forge {
  readonly name: string;

  start(): Promise<void>;
  stop(): Promise<void>;

  /** Every repository (by app name) this forge holds, sorted. */
  repositories(): Promise<string[]>;

  /** Branch name to commit sha: the truth at this moment. @throws {SlipwayError} `not-found` for an unknown app. */
  refs(app: string): Promise<Map<string, string>>;

  /** @throws {SlipwayError} `not-found` when the repository does not have this commit. `sha` may be abbreviated or a branch name. */
  commit(app: string, sha: string): Promise<Commit>;

  /** True when `ancestor` is reachable from `descendant`, or the same commit. False when either is unknown. */
  isAncestor(app: string, ancestor: string, descendant: string): Promise<boolean>;

  /** Text of one file at one commit; null when it is not there. @throws {SlipwayError} `mistake` above 1 MiB. */
  readFile(app: string, sha: string, path: string): Promise<string | null>;

  /**
   * Writes the files of a commit into an empty or missing folder, without any git metadata. File modes are kept. A symbolic
   * link that could lead out of the folder is written as a plain file that holds its target.
   *
   * @throws {SlipwayError} `transient` on a full disk, after removing what it wrote; `mistake` when the folder holds something.
   */
  checkout(app: string, sha: string, folder: string): Promise<Checkout>;

  /** Housekeeping of a repository, which may take minutes; called about once a day. Pushes and reads go on meanwhile. */
  maintain(app: string): Promise<void>;

  /** Says on the commit what Slipway did with it. A forge without a place for it keeps nothing. */
  postStatus(app: string, sha: string, status: CommitStatus): Promise<void>;
}

export interface Checkout {
  /** What in this commit is not in the folder as its author may expect (submodules, LFS files, links made inert), one sentence each. */
  notices: string[];
}

export interface Commit {
  sha: string;
  /** Hash of the commit's tree: equal trees have equal content. */
  tree: string;
  parents: string[];
  author: string;
  /** Milliseconds since 1970. */
  authoredAt: number;
  /** First line of the message. */
  subject: string;
}

export interface CommitStatus {
  /** e.g. `check: test`, `staging`. */
  context: string;
  state: 'queued' | 'running' | 'passed' | 'failed' | 'superseded' | 'cancelled';
  description: string;
  url: string | null;
}
