import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** Stands between a test's queue and PostgreSQL, and does to connections what networks do. Ends with the test. */
export class PostgresProxy {
  readonly url: string;
  readonly #server: net.Server;
  readonly #pairs = new Set<[Socket, Socket]>();
  #newOnes: 'passed' | 'refused' | 'swallowed' = 'passed';
  #answersUntilCut = Infinity;
  #everyAnswers = Infinity;
  cuts = 0;
  /** Connections that were asked for, whatever became of them. */
  connections = 0;

  private constructor(server: net.Server, url: string) {
    this.#server = server;
    this.url = url;
  }

  static async before(url: string): Promise<PostgresProxy> {
    const target = new URL(url);
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const own = new URL(url);
    own.search = ''; // a URL of the tests names a socket in a folder
    own.hostname = '127.0.0.1';
    own.port = String((server.address() as AddressInfo).port);
    const proxy = new PostgresProxy(server, own.href);
    server.on('connection', (client) => proxy.#connected(client, target));
    onTestFinished(() => proxy.close());
    return proxy;
  }

  /** Every so many answers one is lost together with its connection: what was asked for has been done. */
  loseAnswers(every: number): void {
    this.#everyAnswers = this.#answersUntilCut = every;
  }

  /** From now on nothing comes through the open connections, or through `all` others either, and nobody is told. */
  swallow(which: 'open' | 'all' = 'open'): void {
    if (which === 'all') this.#newOnes = 'swallowed';
    for (const pair of this.#pairs) for (const socket of pair) socket.removeAllListeners('data').resume();
  }

  /** Cuts all connections and takes no new ones. */
  refuse(): void {
    this.#newOnes = 'refused';
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  pass(): void {
    this.#newOnes = 'passed';
    this.#everyAnswers = this.#answersUntilCut = Infinity;
  }

  async close(): Promise<void> {
    this.refuse();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #connected(client: Socket, target: URL): void {
    this.connections += 1;
    if (this.#newOnes === 'refused') {
      client.destroy();
      return;
    }
    if (this.#newOnes === 'swallowed') {
      client.on('error', () => undefined).resume();
      this.#pairs.add([client, client]);
      return;
    }
    const folder = target.searchParams.get('host');
    const port = target.searchParams.get('port') ?? target.port;
    const server =
      folder === null ? net.connect(Number(port), target.hostname) : net.connect(`${folder}/.s.PGSQL.${port}`);
    const pair: [Socket, Socket] = [client, server];
    this.#pairs.add(pair);
    client.on('data', (data) => server.write(data));
    server.on('data', (data) => {
      this.#answersUntilCut -= 1;
      if (this.#answersUntilCut > 0) {
        client.write(data);
        return;
      }
      this.#answersUntilCut = this.#everyAnswers;
      this.cuts += 1;
      for (const socket of pair) socket.destroy();
    });
    for (const socket of pair) {
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#pairs.delete(pair);
        for (const other of pair) other.destroy();
      });
    }
  }
}
