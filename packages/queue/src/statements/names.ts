/** Where a statement runs. */
export interface Database {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[]; rowCount: number | null }>;
}

/** Qualified names of one queue's tables, and its notification channel. */
export interface Names {
  schema: string;
  task: string;
  dead: string;
  done: string;
  worker: string;
  goneWorker: string;
  identity: string;
  batch: string;
  batchResult: string;
  cron: string;
  rate: string;
  tally: string;
  usage: string;
  lane: string;
  laneShare: string;
  bundle: string;
  /** Functions. */
  claimSingly: string;
  claimBundle: string;
  finishBundled: string;
  cancelBundled: string;
  shareLane: string;
  /** Sequence of ids and places in line. */
  position: string;
  channel: string;
}

export function namesIn(schema: string): Names {
  // Quoted, but never escaped: the schema is part of the program, not of its input.
  if (!/^[a-z_][a-z0-9_]{0,55}$/.test(schema)) {
    throw new Error(`'${schema}' can't be the queue's schema: use at most 56 lower-case letters, digits and _`);
  }
  return {
    schema,
    task: `"${schema}".task`,
    dead: `"${schema}".dead_task`,
    done: `"${schema}".done_task`,
    worker: `"${schema}".worker`,
    goneWorker: `"${schema}".gone_worker`,
    identity: `"${schema}".identity`,
    batch: `"${schema}".batch`,
    batchResult: `"${schema}".batch_result`,
    cron: `"${schema}".cron`,
    rate: `"${schema}".rate`,
    tally: `"${schema}".tally`,
    usage: `"${schema}".attempt_usage`,
    lane: `"${schema}".lane`,
    laneShare: `"${schema}".lane_share`,
    bundle: `"${schema}".bundle`,
    claimSingly: `"${schema}".claim_singly`,
    claimBundle: `"${schema}".claim_bundle`,
    finishBundled: `"${schema}".finish_bundled`,
    cancelBundled: `"${schema}".cancel_bundled`,
    shareLane: `"${schema}".share_lane`,
    position: `'"${schema}".task_id_seq'`,
    channel: `${schema}_task`,
  };
}

/** Numbers as PostgreSQL writes an array of them: of thousands, ten times faster than what the client makes of an array of texts. */
export function bigints(numbers: readonly (string | number)[]): string {
  return `{${numbers.join(',')}}`;
}

/** The numbers of an array as PostgreSQL writes it. */
export function numbersIn(array: string): string[] {
  return array === '{}' ? [] : array.slice(1, -1).split(',');
}

/** PostgreSQL's code for a row that a unique index refuses. */
export const UNIQUE_VIOLATION = '23505';
