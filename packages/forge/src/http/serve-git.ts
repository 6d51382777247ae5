import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { SlipwayError } from '@slipway/app';
import { checkAppName } from '../repositories.ts';
import { end, spawnError } from '../git.ts';
import { pktLine } from './pkt-line.ts';
import { receivePush } from './receive-push.ts';
import type { ServeGitOptions } from './serve-git-options.ts';

/** An answer that is no success; git shows plain text as `remote: ...`. */
export class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = 'Refusal';
    this.status = status;
  }
}

type Service = 'git-upload-pack' | 'git-receive-pack';

interface Ask {
  app: string;
  service: Service;
  step: 'advertise' | 'exchange';
}

/**
 * Answers git's smart HTTP (gitprotocol-http(5)) under `/git/APP.git/`: discovery, fetch and push; the dumb protocol is
 * refused. Never rejects. The server must not bound the time of a whole request (`server.requestTimeout = 0`): a large push
 * over a slow line takes as long as it takes, and a client that sends nothing is given up here.
 */
export async function serveGit(
  request: IncomingMessage,
  response: ServerResponse,
  options: ServeGitOptions,
): Promise<void> {
  try {
    const ask = readAsk(request);
    const actor = await allowed(request, ask, options);
    response.setHeader('Cache-Control', 'no-cache, max-age=0, must-revalidate');
    // nginx would hold back what the console shows.
    response.setHeader('X-Accel-Buffering', 'no');
    if (ask.step === 'advertise') await advertise(request, response, ask, options);
    else if (ask.service === 'git-upload-pack') await sendPack(request, response, ask, options);
    else await receivePush({ app: ask.app, actor, body: bodyOf(request), response, options });
  } catch (error) {
    refuse(request, response, error, options);
  }
}

function readAsk(request: IncomingMessage): Ask {
  const url = new URL(request.url ?? '/', 'http://slipway');
  const [, name, rest] = /^\/git\/([^/]+)\.git\/(.+)$/.exec(url.pathname) ?? [];
  if (name === undefined || rest === undefined) {
    throw new Refusal(404, 'There is no repository at this address. It is /git/APP.git, e.g. /git/shop.git.');
  }
  const app = decodeURIComponentSafely(name);
  checkAppName(app);
  if (request.method === 'GET' && rest === 'info/refs') {
    const service = url.searchParams.get('service');
    if (service === 'git-upload-pack' || service === 'git-receive-pack') return { app, service, step: 'advertise' };
    throw new Refusal(403, 'Slipway speaks the smart HTTP protocol only. Use git 1.6.6 or newer.');
  }
  if (rest !== 'git-upload-pack' && rest !== 'git-receive-pack')
    throw new Refusal(404, 'There is nothing here for git.');
  if (request.method !== 'POST') throw new Refusal(405, `Use POST for ${rest}.`);
  if (request.headers['content-type'] !== `application/x-${rest}-request`) {
    throw new Refusal(415, `Send application/x-${rest}-request.`);
  }
  return { app, service: rest, step: 'exchange' };
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @returns who asks. @throws {Refusal} when they may not, or there is no such app and they may not make it. */
async function allowed(request: IncomingMessage, ask: Ask, { access, forge }: ServeGitOptions): Promise<string> {
  const action = ask.service === 'git-receive-pack' ? 'write' : 'read';
  const decision = await access.authorize({ token: tokenOf(request) }, ask.app, action);
  if (!decision.allow) throw new Refusal(decision.status, decision.message);
  if ((action === 'read' || decision.create === 'no') && !(await forge.store.exists(ask.app))) {
    throw new Refusal(
      404,
      `There is no app "${ask.app}" here. The first push of an admin creates it; check the name, or ask an admin to push first.`,
    );
  }
  return decision.actor;
}

function tokenOf(request: IncomingMessage): string | null {
  const [scheme = '', value = ''] = (request.headers.authorization ?? '').split(' ', 2);
  if (scheme.toLowerCase() === 'bearer') return value === '' ? null : value;
  if (scheme.toLowerCase() !== 'basic') return null;
  const pair = Buffer.from(value, 'base64').toString();
  const token = pair.slice(pair.indexOf(':') + 1);
  return token === '' ? null : token;
}

async function advertise(
  request: IncomingMessage,
  response: ServerResponse,
  { app, service }: Ask,
  { forge }: ServeGitOptions,
): Promise<void> {
  // An app that the push will make is not made yet: a push that never comes leaves nothing.
  const there = await forge.store.exists(app);
  if (there && service === 'git-upload-pack') await forge.settleDefaultBranch(app, await forge.refs(app));
  const repository = there ? forge.store.path(app) : await forge.store.empty();
  const version2 = service === 'git-upload-pack' && versionOf(request) === 'version=2';
  const refs = await forge.git.must([service.slice('git-'.length), '--stateless-rpc', '--advertise-refs', repository], {
    variables: version2 ? { GIT_PROTOCOL: 'version=2' } : {},
  });
  response.setHeader('Content-Type', `application/x-${service}-advertisement`);
  const banner = Buffer.concat([pktLine(Buffer.from(`# service=${service}\n`)), Buffer.from('0000')]);
  response.end(version2 ? refs : Buffer.concat([banner, refs]));
}

/** Only the part of the header that we know goes to git. */
function versionOf(request: IncomingMessage): string | null {
  const header = String(request.headers['git-protocol'] ?? '');
  return header.split(':').includes('version=2') ? 'version=2' : null;
}

async function sendPack(
  request: IncomingMessage,
  response: ServerResponse,
  { app }: Ask,
  { forge, log }: ServeGitOptions,
): Promise<void> {
  const version = versionOf(request);
  const child = forge.git.spawn(
    ['upload-pack', '--stateless-rpc', forge.store.path(app)],
    version === null ? {} : { GIT_PROTOCOL: version },
  );
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-2000)));
  response.once('close', () => end(child, 'SIGTERM'));
  response.setHeader('Content-Type', 'application/x-git-upload-pack-result');
  const failed = new Promise<never>((_, reject) => child.once('error', (error) => reject(spawnError(error))));
  // A client that has heard enough closes; that is no error of ours.
  const sent = Promise.allSettled([pipeline(bodyOf(request), child.stdin), pipeline(child.stdout, response)]);
  await Promise.race([sent, failed]);
  if (child.exitCode !== null && child.exitCode !== 0) log?.(`A fetch of ${app} failed: ${said.trim()}`);
}

/** The body as git wrote it. */
function bodyOf(request: IncomingMessage): Readable {
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding === 'identity') return request;
  if (encoding !== 'gzip' && encoding !== 'x-gzip') throw new Refusal(415, `Send gzip or nothing, not ${encoding}.`);
  const body = createGunzip();
  // Its reader sees the error, too.
  pipeline(request, body).catch(() => {});
  return body;
}

function refuse(request: IncomingMessage, response: ServerResponse, error: unknown, options: ServeGitOptions): void {
  const refusal = asRefusal(error, options);
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  for (const name of response.getHeaderNames()) response.removeHeader(name);
  if (refusal.status === 401) response.setHeader('WWW-Authenticate', 'Basic realm="Slipway"');
  // The rest of a body that nobody reads is not worth its way here.
  if (!request.complete) response.setHeader('Connection', 'close');
  response.writeHead(refusal.status, { 'Content-Type': 'text/plain', 'Cache-Control': 'no-cache' });
  response.end(`${refusal.message}\n`);
  request.resume();
}

function asRefusal(error: unknown, { log }: ServeGitOptions): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof SlipwayError) {
    const text = error.hint === null ? error.message : `${error.message}\n${error.hint}`;
    if (error.kind === 'transient') log?.(`Git over HTTP failed: ${error.message}`);
    const statuses = { mistake: 422, denied: 403, conflict: 409, 'not-found': 404, transient: 503, bug: 500 };
    return new Refusal(statuses[error.kind], text);
  }
  log?.(`Git over HTTP failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return new Refusal(500, 'Slipway failed to answer; its log says why. Try again, and report it if it stays.');
}
