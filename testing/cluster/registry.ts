import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { freePort } from '../src/port.ts';
import type { Node } from './node.ts';
import { startProgram } from './program.ts';
import type { Releases } from './releases.ts';

/**
 * A registry for images, at the same loopback address on the machine and on every node: one process each, over one folder. Everyone asks a loopback
 * address without encryption, so nobody has to be told of a certificate.
 *
 * @returns `127.0.0.1:PORT`, the beginning of the images' names.
 */
export async function startRegistry(
  nodes: [Node, ...Node[]],
  { folder, logs }: { folder: string; logs: string },
  releases: Releases,
): Promise<string> {
  const [first] = nodes;
  const address = `127.0.0.1:${await freePort()}`;
  const config = path.join(folder, 'registry.json');
  const storage = { filesystem: { rootdirectory: path.join(folder, 'registry') }, delete: { enabled: true } };
  // JSON is YAML.
  await writeFile(
    config,
    JSON.stringify({ version: '0.1', log: { level: 'warn' }, storage, http: { addr: address, secret: 'of a test' } }),
  );
  const start = (name: string, { holder }: Node, namespaces: 'all' | 'mounts') => {
    const program = 'docker-registry';
    const registry = startProgram({ name, program, args: ['serve', config], logs, inside: holder, namespaces });
    releases.add(`stop ${name}`, () => registry.stop());
    return registry;
  };
  for (const node of nodes) start(`${node.name}-registry`, node, 'all');
  const ofMachine = start('registry', first, 'mounts');
  await ofMachine.until(async () => (await fetch(`http://${address}/v2/`)).ok, 'the registry answers', 30);
  return address;
}
