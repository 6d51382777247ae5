import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { progress } from '../measure.ts';

const CONNECTIONS = 8;
const PAUSE_MILLISECONDS = 5;
const ANSWER_MILLISECONDS = 10_000;

/** Constant requests through a gateway, as long as it goes on. */
export class Load {
  readonly #to: { address: string; host: string };
  readonly #agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  readonly #abort = new AbortController();
  readonly #loops: Promise<void>[];
  requests = 0;
  failed = 0;
  /** What was answered last. */
  answer = '';

  constructor(to: { address: string; host: string }) {
    this.#to = to;
    this.#loops = Array.from({ length: CONNECTIONS }, async () => await this.#loop());
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#loops);
    this.#agent.destroy();
  }

  async #loop(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      const { status, text } = await this.#ask().catch((error: unknown) => ({ status: 0, text: String(error) }));
      this.requests += 1;
      if (status === 200) this.answer = text;
      else {
        this.failed += 1;
        progress(`failed: ${status} ${text.slice(0, 200)}`);
      }
      await delay(PAUSE_MILLISECONDS);
    }
  }

  async #ask(): Promise<{ status: number; text: string }> {
    const { address, host } = this.#to;
    return await new Promise((resolve, reject) => {
      const asked = request(
        { host: address, port: 80, headers: { host }, agent: this.#agent, timeout: ANSWER_MILLISECONDS },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (part: string) => (text += part));
          response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
          response.on('error', reject);
        },
      );
      asked.on('timeout', () => asked.destroy(new Error('no answer for 10 s')));
      asked.on('error', reject);
      asked.end();
    });
  }
}
