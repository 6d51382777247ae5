/** How a cluster is reached and who asks. What changes while the process runs (tokens) is asked for anew. */
export interface ClusterAccess {
  /** `https://host:port`, and a path if the API is below one. */
  server: URL;
  /** PEM of the authorities that the API server's certificate is checked by; null: those of the system. */
  ca: Buffer | null;
  /** `skip`: whoever answers is believed. Only when the kubeconfig says so. */
  verification: 'required' | 'skip';
  /** Name that the certificate must have, when it is not that of `server`. */
  serverName: string | null;
  identity: Identity;
}

/**
 * Who asks.
 *
 * | kind | means |
 * | --- | --- |
 * | certificate | a client certificate, for the life of the connection |
 * | token | a bearer token; `read` is asked before each request and keeps it as long as it holds. `refused` says that the API server did not take it |
 * | nobody | anonymous |
 */
export type Identity =
  | { kind: 'certificate'; certificate: Buffer; key: Buffer }
  | { kind: 'token'; read: () => Promise<string>; refused: () => void }
  | { kind: 'nobody' };
