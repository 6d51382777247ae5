/**
 * Where a cluster is. Each has a slot, so that several fit on one machine; nothing of it is reachable from outside of the machine.
 *
 * | slot | bridge     | nodes           | pods            | services       |
 * | ---- | ---------- | --------------- | --------------- | -------------- |
 * | 0    | `slipway0` | 10.200.0.11 ... | 10.244.1.0/24 ... | 10.96.0.0/16 |
 * | 1    | `slipway1` | 10.201.0.11 ... | 10.245.1.0/24 ... | 10.97.0.0/16 |
 */
export interface Addresses {
  slot: number;
  bridge: string;
  /** The machine's end of the bridge. */
  machine: string;
  nodes: string;
  pods: string;
  services: string;
  /** The first service address, which Kubernetes takes for its own API. */
  kubernetesService: string;
  dns: string;
  /** Nodes count from 1. */
  node(number: number): string;
  podsOf(number: number): string;
}

export const SLOTS = 8;

export function addressesOf(slot: number): Addresses {
  const [nodes, pods, services] = [200 + slot, 244 + slot, 96 + slot];
  return {
    slot,
    bridge: `slipway${slot}`,
    machine: `10.${nodes}.0.1`,
    nodes: `10.${nodes}.0.0/24`,
    pods: `10.${pods}.0.0/16`,
    services: `10.${services}.0.0/16`,
    kubernetesService: `10.${services}.0.1`,
    dns: `10.${services}.0.10`,
    node: (number) => `10.${nodes}.0.${10 + number}`,
    podsOf: (number) => `10.${pods}.${number}.0/24`,
  };
}

/** Whether two subnets (`10.96.0.0/16`, or one address) have an address in common. */
export function overlap(one: string, other: string): boolean {
  const [a, b] = [parseSubnet(one), parseSubnet(other)];
  const shift = 32 - Math.min(a.length, b.length);
  return Math.floor(a.address / 2 ** shift) === Math.floor(b.address / 2 ** shift);
}

function parseSubnet(subnet: string): { address: number; length: number } {
  const [address = '', length = '32'] = subnet.split('/');
  return {
    address: address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0),
    length: Number(length),
  };
}
