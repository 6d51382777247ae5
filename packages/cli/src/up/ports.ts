import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { SlipwayError } from '@slipway/app/errors';

export interface PortWish {
  /** What it is for, e.g. `control plane`. */
  purpose: string;
  /** How to choose another one, e.g. `--port`. */
  option: string;
  /** Asked for on the command line: then no other will do. */
  asked: number | null;
  /** Used before by this home, so that its URLs stay. */
  remembered: number | null;
  usual: number;
}

/** How many ports above the usual one are tried. */
const TRIED_PORTS = 100;

/**
 * Chooses a free port: the one asked for, else the remembered one, else the usual one, else the next that is free.
 *
 * @param taken Ports that are promised already.
 * @param note Told when the choice is not the usual one although nobody asked.
 * @throws {SlipwayError} `conflict` when the one asked for is taken, with who has it.
 */
export async function choosePort(
  host: string,
  wish: PortWish,
  taken: number[],
  note: (text: string) => void,
): Promise<number> {
  const first = wish.asked ?? wish.remembered ?? wish.usual;
  const problem = taken.includes(first) ? 'is the other port of this Slipway' : await whyNotFree(host, first);
  if (problem === null) return first;
  if (wish.asked !== null) {
    throw new SlipwayError('conflict', `port ${first} for the ${wish.purpose} ${problem}`, {
      hint: `Stop that, or choose another port: slipway up ${wish.option} PORT`,
    });
  }
  for (let port = wish.usual; port < wish.usual + TRIED_PORTS; port++) {
    if (taken.includes(port) || (await whyNotFree(host, port)) !== null) continue;
    note(
      `Port ${first} for the ${wish.purpose} ${problem}; using ${port} from now on (choose one: ${wish.option} PORT).`,
    );
    return port;
  }
  throw new SlipwayError(
    'conflict',
    `no port from ${wish.usual} to ${wish.usual + TRIED_PORTS - 1} is free for the ${wish.purpose}`,
    {
      hint: `Choose one: slipway up ${wish.option} PORT`,
    },
  );
}

/** null: it is free. Else the rest of a sentence that begins with the port. */
async function whyNotFree(host: string, port: number): Promise<string | null> {
  const code = await new Promise<string | null>((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
  if (code === null) return null;
  if (code === 'EACCES') return 'may only be opened by root';
  if (code !== 'EADDRINUSE') return `can't be opened (${code})`;
  return `is taken by ${holderOf(port) ?? 'another process'}`;
}

/** Name and number of the process that listens on this port; null when it can't be seen. */
function holderOf(port: number): string | null {
  const sockets = new Set(['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) => listeners(file, port)));
  if (sockets.size === 0) return null;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      for (const descriptor of readdirSync(`/proc/${pid}/fd`)) {
        if (!sockets.has(readlinkSync(`/proc/${pid}/fd/${descriptor}`))) continue;
        return `${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()} (process ${pid})`;
      }
    } catch {
      // Another user's process, or one that has just ended.
    }
  }
  return null;
}

/** Sockets in state LISTEN (0A) on this port, as /proc/PID/fd names them; see proc_net_tcp in the kernel's documentation. */
function listeners(file: string, port: number): string[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return [];
  }
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === '0A' && fields[1]?.endsWith(`:${wanted}`) === true)
    .map((fields) => `socket:[${fields[9]}]`);
}
