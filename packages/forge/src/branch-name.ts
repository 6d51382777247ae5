/**
 * Git names are bytes; ours are strings. Bytes that are not UTF-8 become `\xNN`. A branch name never holds a backslash
 * (git-check-ref-format(1), rule 10), so the way back is exact and two branches never get the same name.
 */
const utf8 = new TextDecoder('utf-8', { fatal: true });

export function decodeName(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return decodePartly(bytes);
  }
}

export function encodeName(name: string): Buffer {
  const parts = name.split(/(\\x[0-9a-f]{2})/);
  return Buffer.concat(
    parts.map((part, index) => (index % 2 === 1 ? Buffer.from(part.slice(2), 'hex') : Buffer.from(part))),
  );
}

/** Takes the longest valid sequence at each place (UTF-8 characters have at most 4 bytes), else escapes one byte. */
function decodePartly(bytes: Buffer): string {
  let name = '';
  for (let at = 0; at < bytes.length;) {
    const character = characterAt(bytes, at);
    name += character?.text ?? `\\x${bytes.toString('hex', at, at + 1)}`;
    at += character?.length ?? 1;
  }
  return name;
}

function characterAt(bytes: Buffer, at: number): { text: string; length: number } | null {
  for (let length = 1; length <= 4 && at + length <= bytes.length; length++) {
    try {
      return { text: utf8.decode(bytes.subarray(at, at + length)), length };
    } catch {
      // Not a whole character yet.
    }
  }
  return null;
}
