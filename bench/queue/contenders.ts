import { bullmqPostgres, bullmqRedis } from './bullmq.ts';
import type { Contender, ContenderName } from './contender.ts';
import { graphile } from './graphile.ts';
import { pgBoss } from './pg-boss.ts';
import { slipway } from './slipway.ts';

export const contenders: Record<ContenderName, Contender> = {
  slipway,
  graphile,
  pgboss: pgBoss,
  bullmq_postgres: bullmqPostgres,
  bullmq_redis: bullmqRedis,
};
