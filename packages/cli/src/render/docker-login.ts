import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const DOCKER_HUB = { host: 'registry-1.docker.io', key: 'https://index.docker.io/v1/' };

/**
 * What `docker login` saved for a registry in `config.json`; null when there is nothing, or when a credential helper has it. What can't be read is not
 * there: an image that everybody may see needs no login.
 */
export function dockerLogin(registry: string): { username: string; password: string } | null {
  try {
    const folder = process.env['DOCKER_CONFIG'] ?? join(homedir(), '.docker');
    const config: unknown = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
    const key = registry === DOCKER_HUB.host ? DOCKER_HUB.key : registry;
    const auth = property(property(property(config, 'auths'), key), 'auth');
    if (typeof auth !== 'string') return null;
    const [, username = '', password = ''] = /^([^:]*):(.*)$/s.exec(Buffer.from(auth, 'base64').toString()) ?? [];
    return username === '' ? null : { username, password };
  } catch {
    return null;
  }
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined;
}
