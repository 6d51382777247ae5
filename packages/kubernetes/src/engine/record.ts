import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { SlipwayError } from '@slipway/app';
import { planSchema, type Plan, type PlannedRelease } from '@slipway/engine';
import { ApiError } from '../api/api-error.ts';
import type { ApiClient } from '../api/client.ts';
import { collectionPath, objectPath } from '../api/resources.ts';
import type { Watched } from '../api/watch.ts';
import { labelOf } from '../render/names.ts';
import { MANAGER_LABEL, OWNER_LABEL } from '../render/owner.ts';

const [zip, unzip] = [promisify(gzip), promisify(gunzip)];
export const RECORD_LABEL = 'slipway.dev/record';

/** A release's share of new requests. */
export interface Share {
  release: number;
  weight: number;
}

/**
 * All that has to outlive the engine's process, for one environment: with it and what is found running, another process goes on.
 *
 * It is a Secret in the namespace of the control plane, because config may hold what not everybody may read, and so that somebody who deletes
 * the environment's namespace does not delete the wish for it. Each change is one write, and a write that another process came before is refused.
 */
export interface EnvironmentRecord {
  plan: Plan;
  /** Releases that a newer plan dropped and that serve until another can. */
  kept: PlannedRelease[];
  /** Where requests go by the last route that was in force. */
  traffic: Share[];
  activity: 'awake' | 'asleep';
  /** `removing`: nothing may be left. */
  fate: 'held' | 'removing';
  /** Where its objects are. */
  namespace: string;
  /** Every object that was ever applied there and is not known to be gone; written before they are. */
  inventory: string[];
}

/** A record as it is stored. */
export interface StoredRecord {
  record: EnvironmentRecord;
  /** Version of its Secret. */
  version: string;
}

interface RecordSecret extends Watched {
  metadata: Watched['metadata'] & { annotations?: Record<string, string> };
  data?: { record?: string };
}

/** Keeps the records in one namespace. */
export class RecordStore {
  readonly #api: ApiClient;
  readonly #namespace: string;

  constructor(api: ApiClient, namespace: string) {
    this.#api = api;
    this.#namespace = namespace;
  }

  async all(): Promise<StoredRecord[]> {
    const query = new URLSearchParams({ labelSelector: `${RECORD_LABEL}=environment` });
    const path = `${collectionPath('Secret', this.#namespace)}?${query.toString()}`;
    const { items } = await this.#api.get<{ items: RecordSecret[] }>(path);
    return await Promise.all(items.map(async (secret) => await read(secret)));
  }

  /** @returns null when there is none. */
  async get(environment: string): Promise<StoredRecord | null> {
    try {
      return await read(await this.#api.get<RecordSecret>(this.#path(environment)));
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  }

  /**
   * @param version Of the record that it replaces; null: there is none yet.
   * @returns Its new version.
   * @throws {SlipwayError} `conflict` when another process wrote meanwhile.
   */
  async put(record: EnvironmentRecord, version: string | null): Promise<string> {
    const { environment } = record.plan;
    const body = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        name: nameOf(environment),
        namespace: this.#namespace,
        labels: { [MANAGER_LABEL]: 'slipway', [RECORD_LABEL]: 'environment', [OWNER_LABEL]: record.namespace },
        annotations: { [OWNER_LABEL]: environment },
        ...(version === null ? {} : { resourceVersion: version }),
      },
      type: 'slipway.dev/record',
      data: { record: (await zip(JSON.stringify(record))).toString('base64') },
    };
    try {
      const answer = await (version === null
        ? this.#api.create<Watched>(collectionPath('Secret', this.#namespace), body)
        : this.#api.replace<Watched>(this.#path(environment), body));
      return answer.metadata.resourceVersion;
    } catch (error) {
      if (error instanceof ApiError && (error.status === 409 || error.status === 404))
        throw new SlipwayError('conflict', `Another process changed the plan of ${environment} at the same time`, {
          cause: error,
        });
      throw error;
    }
  }

  async delete(environment: string): Promise<void> {
    await this.#api.delete(this.#path(environment));
  }

  #path(environment: string): string {
    return objectPath('Secret', this.#namespace, nameOf(environment));
  }
}

function nameOf(environment: string): string {
  return labelOf(['environment', ...environment.split('/')]);
}

async function read({ data, metadata }: RecordSecret): Promise<StoredRecord> {
  const text = await unzip(Buffer.from(data?.record ?? '', 'base64'));
  const record: EnvironmentRecord = JSON.parse(text.toString());
  return { record: { ...record, plan: planSchema.parse(record.plan) }, version: metadata.resourceVersion };
}
