import dgram from 'node:dgram';
import { Api, ApiError } from './api.ts';

/**
 * Cluster DNS, as a program: `dns-server.ts KUBECONFIG ADDRESS PORT`. It answers A for services, headless services and their pods from what the API says at
 * that moment; other types of existing names are empty, other names do not exist. Nothing outside of the cluster is asked.
 */
const DOMAIN = '.svc.cluster.local';
const TTL_SECONDS = 5;
const TYPE_A = 1;
const NAME_ERROR = 3;
const SERVER_FAILURE = 2;

interface Query {
  /** Header and question, which the answer repeats. */
  id: number;
  question: Buffer;
  name: string;
  type: number;
}

interface Service {
  spec: { clusterIP?: string };
}

interface Slices {
  items: { endpoints?: { addresses: string[]; hostname?: string; conditions?: { ready?: boolean } }[] | null }[];
}

if (import.meta.main) await main(process.argv.slice(2));

async function main([kubeconfig = '', address = '', port = '']: string[]): Promise<void> {
  const api = await Api.open(kubeconfig);
  const socket = dgram.createSocket('udp4');
  socket.on('message', (message, from) => {
    void answer(api, message).then((reply) => reply && socket.send(reply, from.port, from.address));
  });
  socket.bind(Number(port), address);
}

async function answer(api: Api, message: Buffer): Promise<Buffer | null> {
  const query = parseQuery(message);
  if (query === null) return null;
  try {
    const addresses = await resolve(api, query.name);
    if (addresses === null) return writeReply(query, [], NAME_ERROR);
    return writeReply(query, query.type === TYPE_A ? addresses : [], 0);
  } catch (error) {
    console.error(`${query.name}: ${String(error)}`);
    return writeReply(query, [], SERVER_FAILURE);
  }
}

/** Addresses of `SERVICE.NAMESPACE.svc.cluster.local` or `HOST.SERVICE....`; null when there is no such name. */
async function resolve(api: Api, name: string): Promise<string[] | null> {
  const lower = name.toLowerCase();
  if (!lower.endsWith(DOMAIN)) return null;
  const [namespace, service, host, ...more] = lower.slice(0, -DOMAIN.length).split('.').toReversed();
  if (namespace === undefined || service === undefined || more.length > 0) return null;
  const found = await api
    .get<Service>(`/api/v1/namespaces/${namespace}/services/${service}`)
    .catch((error: unknown) => {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    });
  const address = found?.spec.clusterIP;
  if (address === undefined) return null;
  if (address !== 'None') return host === undefined ? [address] : null;
  const slices = await api.get<Slices>(
    `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?labelSelector=kubernetes.io/service-name%3D${service}`,
  );
  const addresses = slices.items
    .flatMap(({ endpoints }) => endpoints ?? [])
    .filter(({ conditions, hostname }) => conditions?.ready !== false && (host === undefined || hostname === host))
    .flatMap((endpoint) => endpoint.addresses);
  return addresses.length > 0 || host === undefined ? addresses : null;
}

/** RFC 1035, 4.1: one question, and no compression in it. */
export function parseQuery(message: Buffer): Query | null {
  if (message.length < 17 || message.readUInt16BE(4) !== 1) return null;
  const labels: string[] = [];
  let at = 12;
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  if (at + 5 > message.length) return null;
  return {
    id: message.readUInt16BE(0),
    question: message.subarray(12, at + 5),
    name: labels.join('.'),
    type: message.readUInt16BE(at + 1),
  };
}

export function writeReply({ id, question }: Query, addresses: string[], code: number): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(0x8480 | code, 2); // an authoritative answer; recursion is claimed, or resolvers complain
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(addresses.length, 6);
  const records = addresses.map((address) => {
    const record = Buffer.alloc(16);
    record.writeUInt16BE(0xc00c, 0); // the name of the question
    record.writeUInt16BE(TYPE_A, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt32BE(TTL_SECONDS, 6);
    record.writeUInt16BE(4, 10);
    record.set(address.split('.').map(Number), 12);
    return record;
  });
  return Buffer.concat([header, question, ...records]);
}
