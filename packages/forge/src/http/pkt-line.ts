/**
 * pkt-lines, gitprotocol-common(5): four hexadecimal digits of length, themselves included, then the payload; `0000` is a
 * flush. With side-band-64k the payload begins with a band: 1 data, 2 progress (the client prints `remote: ...`), 3 a fatal
 * error.
 */
export const flush = Buffer.from('0000');
/** An empty progress packet: shows nothing, and keeps a connection alive that is else silent. */
export const nothing = Buffer.from('0005\x02');

export type Band = 1 | 2 | 3;

export function pktLine(payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from((payload.length + 4).toString(16).padStart(4, '0')), payload]);
}

export function bandPacket(band: Band, text: string): Buffer {
  return pktLine(Buffer.concat([Buffer.from([band]), Buffer.from(text)]));
}

export interface Packet {
  kind: 'flush' | 'data';
  payload: Buffer;
  /** As it came, to be passed on. */
  raw: Buffer;
}

/** Cuts a stream into packets. */
export class PacketReader {
  #rest: Buffer = Buffer.alloc(0);

  /** Every packet that is whole now. @throws {RangeError} when the bytes are no pkt-lines. */
  read(chunk: Buffer): Packet[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const packets: Packet[] = [];
    for (;;) {
      const length = packetLength(this.#rest);
      if (length === null || this.#rest.length < length) return packets;
      const raw = this.#rest.subarray(0, length);
      packets.push({ kind: raw.equals(flush) ? 'flush' : 'data', payload: raw.subarray(4), raw });
      this.#rest = this.#rest.subarray(length);
    }
  }

  /** What is left of a packet that is not whole. */
  get rest(): Buffer {
    return this.#rest;
  }
}

/** Bytes of the first packet with its length field; null while the field itself is not there. */
export function packetLength(bytes: Buffer): number | null {
  if (bytes.length < 4) return null;
  const digits = bytes.toString('latin1', 0, 4);
  const length = /^[0-9a-f]{4}$/i.test(digits) ? Number.parseInt(digits, 16) : -1;
  // 0001 to 0003 are other markers of version 2, which are four bytes as well.
  if (length >= 0 && length < 4) return 4;
  if (length < 0) throw new RangeError(`not a pkt-line: ${JSON.stringify(digits)}`);
  return length;
}
