/**
 * `yes`: what was committed survives a power cut. `no`: for tests only; a crash of the machine may lose or break the
 * database, a crash of PostgreSQL alone does not.
 */
export type Durability = 'yes' | 'no';

/**
 * A small, quiet PostgreSQL: few processes, few wake-ups, little memory; durable unless told otherwise.
 * (See "Resource Consumption" and "Write Ahead Log" in the PostgreSQL 18 manual.)
 */
export function quietSettings(durable: Durability): Record<string, string> {
  return {
    shared_buffers: '32MB',
    max_connections: '60',
    jit: 'off',
    huge_pages: 'off',

    // No helpers beside checkpointer, writers and autovacuum: reads are done by the backend itself, nothing replicates.
    io_method: 'sync',
    max_worker_processes: '1',
    max_parallel_workers: '0',
    max_parallel_workers_per_gather: '0',
    max_logical_replication_workers: '0',
    wal_level: 'minimal',
    max_wal_senders: '0',
    autovacuum_max_workers: '1',
    autovacuum_worker_slots: '1',

    // Wake-ups. A commit flushes its own WAL, so durability does not wait for the WAL writer.
    bgwriter_delay: '10s',
    bgwriter_lru_maxpages: '0',
    wal_writer_delay: '10s',
    autovacuum_naptime: '3min',
    checkpoint_timeout: '15min',
    min_wal_size: '32MB',
    max_wal_size: '256MB',

    timezone: 'UTC',
    log_timezone: 'UTC',
    lc_messages: 'C',
    log_checkpoints: 'off',
    log_line_prefix: '%m [%p] ',
    unix_socket_permissions: '0700',

    // Also without fsync a commit waits until its WAL is handed to the kernel: that survives a kill -9 of PostgreSQL.
    synchronous_commit: 'on',
    ...(durable === 'yes' ? { fsync: 'on', full_page_writes: 'on' } : { fsync: 'off', full_page_writes: 'off' }),
  };
}
