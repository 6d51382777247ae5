import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { nearest, SlipwayError } from '@slipway/app';
import { parse } from 'yaml';
import type { Mapping } from '../render/json-value.ts';
import { isMapping, mappingsAt, valueAt } from '../render/json-value.ts';
import type { ClusterAccess, Identity } from './access.ts';
import { execIdentity } from './exec-credential.ts';
import { tokenFile } from './token-file.ts';

/**
 * Reads a kubeconfig: authorities and client certificates in it or beside it, tokens, token files and programs that give credentials.
 *
 * https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
 *
 * @param file Default: the first file of `KUBECONFIG`, else `~/.kube/config`.
 * @param context Default: the current one.
 * @throws {SlipwayError} `mistake` that says what is missing.
 */
export async function readKubeconfig(
  file: string = defaultFile(process.env),
  context: string | null = null,
): Promise<ClusterAccess> {
  return await accessOf(await chosenContext(file, context));
}

/**
 * The same for the text of a kubeconfig that needs no file beside it, see `flattenKubeconfig`.
 *
 * @param what what it is called in errors.
 */
export async function parseKubeconfig(text: string, what: string): Promise<ClusterAccess> {
  return await accessOf(choose(what, text, null));
}

/** What a context of a kubeconfig refers to. */
interface ChosenContext {
  /** Where it was read from. */
  file: string;
  cluster: Mapping;
  user: Mapping;
}

/** @throws {SlipwayError} `mistake` when the file or the context is not there. */
export async function chosenContext(
  file: string = defaultFile(process.env),
  context: string | null = null,
): Promise<ChosenContext> {
  return choose(file, await load(file), context);
}

function choose(file: string, text: string, context: string | null): ChosenContext {
  const config: unknown = parse(text);
  if (!isMapping(config)) throw new SlipwayError('mistake', `${file} is no kubeconfig`);
  const name = context ?? valueAt(config, 'current-context');
  const contexts = mappingsAt(config, 'contexts');
  const chosen = contexts.find((one) => one['name'] === name);
  if (chosen === undefined) throw noContext(file, name, contexts);
  const cluster = named(file, config, 'clusters', 'cluster', valueAt(chosen, 'context', 'cluster'));
  const user = named(file, config, 'users', 'user', valueAt(chosen, 'context', 'user'));
  const server = textAt(cluster, 'server');
  if (server === null || !URL.canParse(server))
    throw new SlipwayError('mistake', `${file} names no server for ${String(name)}`);
  return { file, cluster: { ...cluster, server }, user };
}

async function accessOf({ file, cluster, user }: ChosenContext): Promise<ClusterAccess> {
  return {
    server: new URL(String(cluster['server'])),
    ca: await content(file, cluster, 'certificate-authority'),
    verification: cluster['insecure-skip-tls-verify'] === true ? 'skip' : 'required',
    serverName: textAt(cluster, 'tls-server-name'),
    identity: await identityOf(file, user),
  };
}

async function identityOf(file: string, user: Mapping): Promise<Identity> {
  const [certificate, key] = [await content(file, user, 'client-certificate'), await content(file, user, 'client-key')];
  if (certificate !== null && key !== null) return { kind: 'certificate', certificate, key };
  const name = textAt(user, 'tokenFile');
  if (name !== null) return tokenFile(path.resolve(path.dirname(file), name));
  const token = textAt(user, 'token');
  if (token !== null) return { kind: 'token', read: async () => token, refused: () => undefined };
  if (isMapping(user['exec'])) return execIdentity(user['exec'], path.dirname(file));
  if (user['username'] !== undefined || user['auth-provider'] !== undefined)
    throw new SlipwayError(
      'mistake',
      `${file} signs in by a password or an auth-provider, which Kubernetes has given up`,
      {
        hint: 'Use a client certificate, a token or exec.',
      },
    );
  return { kind: 'nobody' };
}

async function load(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new SlipwayError('mistake', `The kubeconfig ${file} can't be read`, { cause: error });
  }
}

function defaultFile(environment: NodeJS.ProcessEnv): string {
  const [first] = (environment['KUBECONFIG'] ?? '').split(path.delimiter).filter((one) => one !== '');
  return first ?? path.join(homedir(), '.kube', 'config');
}

function noContext(file: string, name: unknown, contexts: Mapping[]): SlipwayError {
  const names = contexts.map((one) => String(one['name']));
  const near = nearest(String(name), names);
  return new SlipwayError(
    'mistake',
    typeof name === 'string' ? `${file} has no context "${name}"` : `${file} has no current context`,
    { hint: near === null ? `It has: ${names.join(', ') || 'none'}.` : `Did you mean "${near}"?` },
  );
}

function named(file: string, config: Mapping, list: string, key: string, name: unknown): Mapping {
  const found = mappingsAt(config, list).find((one) => one['name'] === name)?.[key];
  if (isMapping(found)) return found;
  throw new SlipwayError('mistake', `${file} has no ${key} "${String(name)}", which its context names`);
}

/** `KEY-data` in the file (base64), or the file that `KEY` names. */
export async function content(file: string, from: Mapping, key: string): Promise<Buffer | null> {
  const inline = textAt(from, `${key}-data`);
  if (inline !== null) return Buffer.from(inline, 'base64');
  const name = textAt(from, key);
  return name === null ? null : await readFile(path.resolve(path.dirname(file), name));
}

export function textAt(from: Mapping, key: string): string | null {
  const value = from[key];
  return typeof value === 'string' && value !== '' ? value : null;
}
