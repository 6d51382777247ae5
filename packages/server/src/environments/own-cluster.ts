import { isDeepStrictEqual } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';
import { z } from 'zod';
import { messageOf, SlipwayError } from '@slipway/app';
import { clusterNameSchema, clusterSettingsSchema, type ClusterSettings } from '../api/schemas.ts';
import { addCluster, listClusters } from './clusters.ts';

/** What a chart has no value for is empty there. */
const settingsSchema = z.preprocess(
  (given) =>
    typeof given === 'object' && given !== null
      ? Object.fromEntries(Object.entries(given).filter(([, setting]) => setting !== null && setting !== ''))
      : given,
  clusterSettingsSchema.strict(),
);

const declarationSchema = z.strictObject({ name: clusterNameSchema, settings: settingsSchema });

/** The cluster that the control plane runs in, as whoever installed it there declares it. */
export type OwnClusterDeclaration = z.infer<typeof declarationSchema>;

const ACTOR = 'installation';
const FIRST_PAUSE_SECONDS = 1;
const LONGEST_PAUSE_SECONDS = 60;

/** @throws {SlipwayError} `mistake` with what is wrong. */
export function readDeclaration(text: string): OwnClusterDeclaration {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new SlipwayError('mistake', `The declaration of the cluster is no JSON: ${messageOf(error)}`);
  }
  const parsed = declarationSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new SlipwayError('mistake', `The declaration of the cluster is wrong: ${z.prettifyError(parsed.error)}`);
}

/**
 * Makes the cluster that this control plane runs in an engine, as it is declared, at each start. The control plane does not wait for that: a
 * cluster without a Gateway, or an API server that does not answer, must not keep the dashboard that tells of it from starting. So it is tried
 * until it is done, and then never again.
 */
export class OwnCluster {
  readonly #pool: Pool;
  readonly #declared: OwnClusterDeclaration;
  readonly #log: (message: string) => void;
  readonly #stopping = new AbortController();
  #work: Promise<void> = Promise.resolve();

  constructor(pool: Pool, declared: OwnClusterDeclaration, log: (message: string) => void) {
    this.#pool = pool;
    this.#declared = declared;
    this.#log = log;
  }

  start(): void {
    this.#work = this.#addUntilDone();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#work;
  }

  async #addUntilDone(): Promise<void> {
    const { signal } = this.#stopping;
    for (let pause = FIRST_PAUSE_SECONDS; !signal.aborted; pause = Math.min(2 * pause, LONGEST_PAUSE_SECONDS)) {
      try {
        await this.#add();
        return;
      } catch (error) {
        const hint = error instanceof SlipwayError && error.hint !== null ? ` ${error.hint}` : '';
        const { name } = this.#declared;
        this.#log(`The cluster ${name} can't be used yet: ${messageOf(error)}${hint} Trying again in ${pause} s.`);
      }
      // By chance a little longer, so that control planes that start together do not ask together.
      await delay(pause * 1000 * (1 + Math.random() / 4), undefined, { signal }).catch(() => undefined);
    }
  }

  async #add(): Promise<void> {
    const { name, settings } = this.#declared;
    const known = (await listClusters(this.#pool)).find((cluster) => cluster.name === name);
    if (known !== undefined && known.kubeconfig === null && isDeclared(known.settings, settings)) return;
    const { version } = await addCluster(this.#pool, { name, kubeconfig: null, settings }, ACTOR);
    this.#log(`The cluster ${name} (Kubernetes ${version}) may be the engine of environments.`);
  }
}

/** Where no entrance is declared, the Gateway that was found counts as declared. */
function isDeclared(known: ClusterSettings, { gateway, ...declared }: ClusterSettings): boolean {
  const { gateway: found, ...rest } = known;
  const entrance = gateway ?? (declared.ingress === undefined ? found : undefined);
  return isDeepStrictEqual(rest, declared) && isDeepStrictEqual(found, entrance);
}
