import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { SlipwayError } from '@slipway/app';
import type { Mapping } from '../render/json-value.ts';
import { mappingsAt, valueAt } from '../render/json-value.ts';
import type { Identity } from './access.ts';

const TIMEOUT_MILLISECONDS = 60_000;
/** A token is renewed so long before its end. */
const MARGIN_MILLISECONDS = 30_000;
const run = promisify(execFile);

/**
 * Credentials that a program gives (`aws eks get-token`, `gke-gcloud-auth-plugin`): asked for when they are needed, kept until they expire.
 * Only tokens; a program that gives a certificate is refused.
 *
 * https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
 *
 * @param exec The mapping of that name in a kubeconfig.
 * @param folder Of the kubeconfig: relative paths of commands begin there.
 */
export function execIdentity(exec: Mapping, folder: string, now: () => number = Date.now): Identity {
  let kept: Promise<Credential> | null = null;
  return {
    kind: 'token',
    async read() {
      const before = kept === null ? null : await kept.catch(() => null);
      if (before === null || before.until <= now()) kept = ask(exec, folder);
      kept ??= ask(exec, folder);
      return (await kept).token;
    },
    refused: () => (kept = null),
  };
}

interface Credential {
  token: string;
  /** Milliseconds since 1970. */
  until: number;
}

async function ask(exec: Mapping, folder: string): Promise<Credential> {
  const command = String(exec['command']);
  const apiVersion = exec['apiVersion'] ?? 'client.authentication.k8s.io/v1';
  const request = { apiVersion, kind: 'ExecCredential', spec: { interactive: false } };
  const given = mappingsAt(exec, 'env').map(({ name, value }) => [String(name), String(value)]);
  try {
    const { stdout } = await run(command, list(exec['args']), {
      cwd: folder,
      timeout: TIMEOUT_MILLISECONDS,
      env: { ...process.env, ...Object.fromEntries(given), KUBERNETES_EXEC_INFO: JSON.stringify(request) },
    });
    return read(command, JSON.parse(stdout));
  } catch (error) {
    if (error instanceof SlipwayError) throw error;
    // What it wrote may hold credentials.
    throw new SlipwayError('transient', `${command} gave no credentials for the cluster`, {
      hint:
        typeof exec['installHint'] === 'string' ? exec['installHint'] : `Run ${command} by hand and see what it says.`,
    });
  }
}

function read(command: string, answer: unknown): Credential {
  const token = valueAt(answer, 'status', 'token');
  if (typeof token !== 'string' || token === '')
    throw new SlipwayError('mistake', `${command} gave no token; client certificates from programs are not taken`);
  const expires = valueAt(answer, 'status', 'expirationTimestamp');
  const until = typeof expires === 'string' ? Date.parse(expires) - MARGIN_MILLISECONDS : Number.POSITIVE_INFINITY;
  return { token, until };
}

function list(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
