import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import type { ApiClient } from '../api/client.ts';
import { objectPath } from '../api/resources.ts';
import { PROBE_HEADER, probeValue } from '../render/route.ts';
import type { Target } from '../render/target.ts';

/** Where requests come in, as the control plane reaches it. */
export interface EntranceAddress {
  host: string;
  port: number;
}

/** One service of one release that should be reached. */
export interface Probe {
  release: number;
  service: string;
  path: string;
}

const ANSWER_MILLISECONDS = 5_000;
const PAUSE_MILLISECONDS = { first: 25, most: 400 };
/** A gateway that can't be asked is believed after so long: those that are known take changes within 2 s. */
const TRUST_MILLISECONDS = 5_000;

interface Gateway {
  status?: { addresses?: { value: string }[] };
  spec?: { listeners?: { port: number; protocol: string }[] };
}

/** Asks a gateway whether it brings requests where its routes say. */
export class Entrance {
  readonly #address: EntranceAddress | null;

  constructor(address: EntranceAddress | null) {
    this.#address = address;
  }

  /** Finds the address in the status of the Gateway; without one, routes are believed after some time. */
  static async find(api: ApiClient, { entrance }: Target, given: EntranceAddress | null): Promise<Entrance> {
    if (given !== null || entrance.kind !== 'gateway') return new Entrance(given);
    const gateway = await api
      .get<Gateway>(objectPath('Gateway', entrance.namespace, entrance.name))
      .catch((): Gateway => ({}));
    const host = gateway.status?.addresses?.[0]?.value;
    const port = gateway.spec?.listeners?.find(({ protocol }) => protocol === 'HTTP')?.port;
    return new Entrance(host === undefined || port === undefined ? null : { host, port });
  }

  /** Port of public URLs; null: not known. */
  get port(): number | null {
    return this.#address?.port ?? null;
  }

  /**
   * Resolves when every probe was answered by the release it is for, under this version of the route. Does not give up: a gateway that
   * refuses a route is a state to be told, not to be passed over.
   *
   * @param word Of the version of the route, see `probeRule`.
   */
  async confirm(host: string, word: string, probes: readonly Probe[], signal: AbortSignal): Promise<void> {
    const began = performance.now();
    let pause: number = PAUSE_MILLISECONDS.first;
    const open = new Set(probes);
    while (open.size > 0) {
      signal.throwIfAborted();
      if (this.#address === null && performance.now() - began > TRUST_MILLISECONDS) return;
      for (const probe of open) {
        const seen = await this.#ask(host, word, probe, signal);
        if (seen === 'reached') open.delete(probe);
        if (seen === 'silent' && performance.now() - began > TRUST_MILLISECONDS) open.delete(probe);
      }
      if (open.size === 0) return;
      await delay(pause, undefined, { signal });
      pause = Math.min(pause * 1.5, PAUSE_MILLISECONDS.most);
    }
  }

  /** Resolves when the gateway has forgotten a route that was deleted; a gateway that does not within some seconds is believed to. */
  async forgotten({ host, word, probes }: { host: string; word: string; probes: readonly Probe[] }): Promise<void> {
    const signal = AbortSignal.timeout(TRUST_MILLISECONDS);
    let pause: number = PAUSE_MILLISECONDS.first;
    for (const probe of probes)
      while (!signal.aborted && (await this.#knows(host, word, probe, signal))) {
        await delay(pause);
        pause = Math.min(pause * 1.5, PAUSE_MILLISECONDS.most);
      }
  }

  /** Whether the rule of a probe is in force, whatever is behind it. */
  async #knows(host: string, word: string, probe: Probe, signal: AbortSignal): Promise<boolean> {
    return (await this.#answer(host, word, probe, signal).catch(() => null))?.rule === 'in-force';
  }

  /** `silent`: the gateway itself can't be reached from here. */
  async #ask(host: string, word: string, probe: Probe, signal: AbortSignal): Promise<'reached' | 'not-yet' | 'silent'> {
    try {
      const answer = await this.#answer(host, word, probe, signal);
      if (answer === null) return 'silent';
      return answer.rule === 'in-force' && ![502, 503, 504].includes(answer.status) ? 'reached' : 'not-yet';
    } catch {
      return signal.aborted ? 'not-yet' : 'silent';
    }
  }

  /** @returns null when it is not known where the gateway is. */
  async #answer(
    host: string,
    word: string,
    probe: Probe,
    signal: AbortSignal,
  ): Promise<{ rule: 'in-force' | 'unknown'; status: number } | null> {
    if (this.#address === null) return null;
    const value = probeValue(word, probe.release, probe.service);
    const { headers, statusCode, body } = await request(`http://${authority(this.#address)}${probe.path}`, {
      headers: { host, [PROBE_HEADER]: value },
      headersTimeout: ANSWER_MILLISECONDS,
      bodyTimeout: ANSWER_MILLISECONDS,
      signal,
    });
    await body.dump();
    return { rule: headers[PROBE_HEADER] === value ? 'in-force' : 'unknown', status: statusCode };
  }
}

function authority({ host, port }: EntranceAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
