import type { ServerResponse } from 'node:http';
import { bandPacket, flush, nothing } from './pkt-line.ts';

/** Shows the work that a push began to the person who pushed, live. */
export interface PushConsole {
  /** Shown as `remote: text` at once. Does nothing when nobody listens. */
  line(text: string): void;
  /** Aborts when nobody listens (any more): the client has gone, or Slipway stops. The push stays whatever happens. */
  readonly signal: AbortSignal;
}

/** Bytes that a client which does not read may make us hold; lines beyond are dropped. */
const maximumBuffered = 1024 * 1024;
/** Side-band packets hold 65515 bytes of text; a line that long helps nobody. */
const maximumLine = 4000;

/** A console over the response of a push that negotiated side-band-64k. */
export class SideBandConsole implements PushConsole {
  readonly signal: AbortSignal;
  readonly #response: ServerResponse;
  readonly #gone = new AbortController();
  readonly #keepAlive: NodeJS.Timeout;
  readonly #stopping: AbortSignal;
  readonly #stop: () => void;

  constructor(response: ServerResponse, stopping: AbortSignal, keepAliveMs: number) {
    this.signal = this.#gone.signal;
    this.#response = response;
    this.#stopping = stopping;
    this.#keepAlive = setInterval(() => this.#write(nothing), keepAliveMs);
    this.#stop = () => {
      this.line('Slipway is stopping. The push is stored, and its work goes on when Slipway is back.');
      this.close();
    };
    if (response.destroyed) this.#leave();
    response.once('close', () => this.#leave());
    if (stopping.aborted) this.#stop();
    else stopping.addEventListener('abort', this.#stop, { once: true });
  }

  line(text: string): void {
    for (const line of text.split('\n')) this.#write(bandPacket(2, `${printable(line)}\n`));
  }

  /** Ends the response; the client then says how the push went and exits. */
  close(): void {
    if (!this.signal.aborted && !this.#response.writableEnded) this.#response.end(flush);
    this.#leave();
  }

  #write(packet: Buffer): void {
    if (this.signal.aborted || this.#response.writableLength > maximumBuffered) return;
    this.#response.write(packet);
  }

  #leave(): void {
    clearInterval(this.#keepAlive);
    this.#stopping.removeEventListener('abort', this.#stop);
    if (!this.signal.aborted) this.#gone.abort(new Error('nobody listens to this push any more'));
  }
}

/** For clients that can't show anything, and for those that have gone. */
export function muteConsole(): PushConsole {
  return { line: () => {}, signal: AbortSignal.abort(new Error('this push has no console')) };
}

const color = '\\u001b\\[[0-9;]*m';
const control = '[\\u0000-\\u0008\\u000a-\\u001f\\u007f-\\u009f]';
const unprintable = new RegExp(`${color}|${control}`, 'g');

/** Colours and tabs stay; every other control character could rewrite what the terminal shows. */
function printable(line: string): string {
  return line.slice(0, maximumLine).replaceAll(unprintable, (found) => (found.length > 1 ? found : ''));
}
