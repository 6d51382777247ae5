import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Addresses } from './addresses.ts';
import { command } from './command.ts';

const DAYS = '30';
const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc'];

/** Files of one certificate and its key. */
export interface Identity {
  certificate: string;
  key: string;
}

interface Wanted {
  name: string;
  /** As openssl writes it: `/O=system:masters/CN=admin`. */
  subject: string;
  /** `client` and `server` may be both. */
  usage: string;
  alternatives?: string;
}

/** The certificate authority of a cluster in a folder, and whom it has certified. */
export class Authority {
  readonly folder: string;
  readonly certificate: string;
  readonly #key: string;
  readonly #config: string;

  private constructor(folder: string, name: string) {
    this.folder = folder;
    this.certificate = path.join(folder, `${name}.crt`);
    this.#key = path.join(folder, `${name}.key`);
    this.#config = path.join(folder, 'openssl.cnf');
  }

  static async make(folder: string, name: string): Promise<Authority> {
    const authority = new Authority(folder, name);
    await mkdir(folder, { recursive: true });
    // The machine's own configuration would mark everything as a certificate authority.
    await writeFile(authority.#config, '[req]\ndistinguished_name = subject\n[subject]\n');
    await authority.#certify(
      authority.identity(name),
      `/CN=${name}`,
      ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign', 'subjectKeyIdentifier=hash'],
      [],
    );
    return authority;
  }

  identity(name: string): Identity {
    return { certificate: path.join(this.folder, `${name}.crt`), key: path.join(this.folder, `${name}.key`) };
  }

  async certify({ name, subject, usage, alternatives }: Wanted): Promise<Identity> {
    const identity = this.identity(name);
    await this.#certify(
      identity,
      subject,
      [
        'basicConstraints=critical,CA:FALSE',
        'keyUsage=critical,digitalSignature,keyEncipherment',
        `extendedKeyUsage=${usage}`,
        ...(alternatives === undefined ? [] : [`subjectAltName=${alternatives}`]),
      ],
      ['-CA', this.certificate, '-CAkey', this.#key],
    );
    return identity;
  }

  async #certify(identity: Identity, subject: string, extensions: string[], signer: string[]): Promise<void> {
    const files = ['-config', this.#config, '-keyout', identity.key, '-out', identity.certificate];
    const added = extensions.flatMap((extension) => ['-addext', extension]);
    await command('openssl', [
      'req',
      '-x509',
      '-days',
      DAYS,
      '-subj',
      subject,
      ...CURVE,
      ...signer,
      ...files,
      ...added,
    ]);
  }
}

export interface Pki {
  ca: Authority;
  frontProxyCa: Authority;
  /** Signs the tokens of service accounts. */
  serviceAccounts: { privateKey: string; publicKey: string };
}

/** Everyone in the cluster but its nodes: `apiserver`, `apiserver-kubelet-client`, `front-proxy-client`, `admin`, ... */
export async function makePki(folder: string, addresses: Addresses): Promise<Pki> {
  const [ca, frontProxyCa] = await Promise.all([
    Authority.make(path.join(folder, 'kubernetes'), 'ca'),
    Authority.make(path.join(folder, 'front-proxy'), 'ca'),
  ]);
  const names = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'];
  const served = ['127.0.0.1', addresses.kubernetesService, addresses.node(1)];
  const client = (name: string, subject: string) => ca.certify({ name, subject, usage: 'clientAuth' });
  await Promise.all([
    ca.certify({
      name: 'apiserver',
      subject: '/CN=kube-apiserver',
      usage: 'serverAuth',
      alternatives: [...names.map((name) => `DNS:${name}`), ...served.map((address) => `IP:${address}`)].join(','),
    }),
    frontProxyCa.certify({ name: 'front-proxy-client', subject: '/CN=front-proxy-client', usage: 'clientAuth' }),
    client('apiserver-kubelet-client', '/O=system:masters/CN=apiserver-kubelet-client'),
    client('admin', '/O=system:masters/CN=admin'),
    client('kube-controller-manager', '/CN=system:kube-controller-manager'),
    client('kube-scheduler', '/CN=system:kube-scheduler'),
    client('kube-proxy', '/CN=system:kube-proxy'),
  ]);
  return { ca, frontProxyCa, serviceAccounts: await makeKeyPair(folder) };
}

/** A kubelet asks the API as this, and serves logs and `exec` with it. */
export function certifyNode(ca: Authority, node: string, address: string): Promise<Identity> {
  return ca.certify({
    name: `kubelet-${node}`,
    subject: `/O=system:nodes/CN=system:node:${node}`,
    usage: 'clientAuth,serverAuth',
    alternatives: `DNS:${node},IP:${address}`,
  });
}

async function makeKeyPair(folder: string): Promise<Pki['serviceAccounts']> {
  const [privateKey, publicKey] = [path.join(folder, 'sa.key'), path.join(folder, 'sa.pub')];
  await command('openssl', ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', privateKey]);
  await command('openssl', ['ec', '-in', privateKey, '-pubout', '-out', publicKey]);
  return { privateKey, publicKey };
}
