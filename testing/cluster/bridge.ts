import { addressesOf, overlap, SLOTS, type Addresses } from './addresses.ts';
import { command } from './command.ts';
import type { Releases } from './releases.ts';

/**
 * Makes a bridge with the machine on one end, in the first slot that is free. Routes of the machine that lead to the nodes go
 * with it.
 *
 * @param owner Written on the bridge, so that nobody removes another's.
 * @throws {Error} when every slot is taken, by other clusters or by networks of this machine.
 */
export async function makeBridge(owner: string, releases: Releases): Promise<Addresses> {
  const taken = await subnetsOfMachine();
  for (let slot = 0; slot < SLOTS; slot += 1) {
    const addresses = addressesOf(slot);
    const wanted = [addresses.nodes, addresses.pods, addresses.services];
    if (wanted.some((subnet) => taken.some((other) => overlap(subnet, other)))) continue;
    const { bridge, machine } = addresses;
    // The kernel lets one of several that try at the same time have the name.
    const mine = await command('ip', ['link', 'add', bridge, 'type', 'bridge']).catch(() => null);
    if (mine === null) continue;
    releases.add(`remove the bridge ${bridge}`, () => command('ip', ['link', 'delete', bridge]));
    await command('ip', ['link', 'set', bridge, 'alias', owner]);
    await command('ip', ['address', 'add', `${machine}/24`, 'dev', bridge]);
    await command('ip', ['link', 'set', bridge, 'up']);
    return addresses;
  }
  throw new Error(
    `the machine has routes or bridges (slipway0 ...) in each of the ${SLOTS} groups of subnets that a test cluster may use. ` +
      'Nothing was started. Stop the other test clusters, or see with "ip route" what takes 10.96.0.0/13, 10.200.0.0/13 and 10.244.0.0/13.',
  );
}

/** Lets the machine reach the services and the pods of a node. */
export async function routeTo(addresses: Addresses, number: number): Promise<void> {
  const via = ['via', addresses.node(number), 'dev', addresses.bridge];
  await command('ip', ['route', 'add', addresses.podsOf(number), ...via]);
  if (number === 1) await command('ip', ['route', 'add', addresses.services, ...via]);
}

/** Removes the bridge of an owner that is gone. Fine when it is gone as well. */
export async function removeBridgeOf(owner: string): Promise<void> {
  for (const { ifname, ifalias } of await bridgesOfClusters())
    if (ifalias === owner) await command('ip', ['link', 'delete', ifname]);
}

/** Of all test clusters on this machine. */
export async function bridgesOfClusters(): Promise<Link[]> {
  const links = JSON.parse(await command('ip', ['-json', 'link', 'show', 'type', 'bridge'])) as Partial<Link>[];
  return links.filter((link): link is Link => /^slipway\d$/.test(link.ifname ?? ''));
}

interface Link {
  ifname: string;
  ifalias?: string;
}

async function subnetsOfMachine(): Promise<string[]> {
  const routes = JSON.parse(await command('ip', ['-json', '-4', 'route', 'show'])) as { dst: string }[];
  return routes.map(({ dst }) => dst).filter((subnet) => subnet !== 'default');
}
