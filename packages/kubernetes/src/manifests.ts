import { SlipwayError } from '@slipway/app';
import { accessTo, type ClusterCredentials } from './api/access-to.ts';
import { ApiError } from './api/api-error.ts';
import { ApiClient } from './api/client.ts';
import { mappingsAt, valueAt } from './render/json-value.ts';

/** An object of any kind, as a file for kubectl has it. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string };
}

/** Reads and applies objects of any kind, those of environments excepted: they have an engine. */
export class Manifests {
  readonly #client: ApiClient;
  /** Paths of kinds, by `apiVersion/kind`. */
  readonly #found = new Map<string, Promise<{ plural: string; namespaced: boolean }>>();

  private constructor(client: ApiClient) {
    this.#client = client;
  }

  /** @throws {SlipwayError} `mistake` when the credentials can't be used. */
  static async open(credentials: ClusterCredentials): Promise<Manifests> {
    return new Manifests(new ApiClient(await accessTo(credentials)));
  }

  /** @returns null when there is none. */
  async read(manifest: Manifest): Promise<unknown> {
    try {
      return await this.#client.get<unknown>(await this.#path(manifest));
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  }

  /** Server-side apply. @throws {SlipwayError} `conflict` when another manager has the fields. */
  async apply(manifest: Manifest, manager: string): Promise<void> {
    await this.#client.apply(await this.#path(manifest), manifest, manager, 'no');
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #path({ apiVersion, kind, metadata }: Manifest): Promise<string> {
    const key = `${apiVersion}/${kind}`;
    const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const found = this.#found.get(key) ?? this.#find(root, kind);
    this.#found.set(key, found);
    const { plural, namespaced } = await found;
    const place = namespaced ? `/namespaces/${metadata.namespace ?? 'default'}` : '';
    return `${root}${place}/${plural}/${metadata.name}`;
  }

  async #find(root: string, kind: string): Promise<{ plural: string; namespaced: boolean }> {
    const list = await this.#client.get<unknown>(root).catch((error: unknown) => {
      if (error instanceof ApiError && error.status === 404) return {};
      throw error;
    });
    const resource = mappingsAt(list, 'resources').find(
      (one) => valueAt(one, 'kind') === kind && !String(valueAt(one, 'name')).includes('/'),
    );
    if (resource !== undefined)
      return { plural: String(valueAt(resource, 'name')), namespaced: valueAt(resource, 'namespaced') === true };
    throw new SlipwayError('mistake', `The cluster knows no ${kind} in ${root.replace(/^\/apis?\//, '')}.`, {
      hint: 'What brings this kind is not installed there, or the cluster is too old.',
    });
  }
}
