import { decodeName } from './branch-name.ts';
import type { Commit } from './forge.ts';

/**
 * One answer of `git cat-file --batch`: `SHA TYPE SIZE\n`, then SIZE bytes and a line feed; or one line that says why there
 * is none (`NAME missing`, `NAME ambiguous`, and for links `dangling`, `loop`, `notdir`, `symlink`, with text after them).
 */
export type BatchAnswer =
  | { kind: 'object'; sha: string; type: string; size: number; content: Buffer }
  | { kind: 'none'; why: string };

/** Reads the answers to one batch. Stops at the first that is cut short. */
export function readBatch(output: Buffer): BatchAnswer[] {
  const answers: BatchAnswer[] = [];
  for (let at = 0; at < output.length;) {
    const newline = output.indexOf(10, at);
    if (newline === -1) break;
    const header = output.toString('utf8', at, newline);
    const [, sha = '', type = '', digits = ''] = /^([0-9a-f]{40,64}) (\w+) (\d+)$/.exec(header) ?? [];
    at = newline + 1;
    if (sha !== '') {
      const size = Number(digits);
      answers.push({ kind: 'object', sha, type, size, content: output.subarray(at, at + size) });
      at += size + 1;
      continue;
    }
    const [, link, length] = /^(dangling|loop|notdir|symlink) (\d+)$/.exec(header) ?? [];
    answers.push({ kind: 'none', why: link ?? header.split(' ').at(-1) ?? 'missing' });
    if (link !== undefined) at += Number(length) + 1;
  }
  return answers;
}

/** Reads a commit object; see git-commit-tree(1). Text is in the encoding that its header names, else UTF-8. */
export function readCommit(sha: string, object: Buffer): Commit {
  const split = object.indexOf('\n\n');
  const head = split === -1 ? object : object.subarray(0, split);
  const message = split === -1 ? Buffer.alloc(0) : object.subarray(split + 2);
  const lines = head.toString('latin1').split('\n');
  const values = (key: string): string[] =>
    lines.filter((line) => line.startsWith(`${key} `)).map((line) => line.slice(key.length + 1));
  const [, name = '', seconds = '0'] = /^(.*?) *<[^>]*> (-?\d+)/.exec(values('author')[0] ?? '') ?? [];
  const encoding = values('encoding')[0] ?? 'utf-8';
  return {
    sha,
    tree: values('tree')[0] ?? '',
    parents: values('parent'),
    author: decode(Buffer.from(name, 'latin1'), encoding),
    authoredAt: Number(seconds) * 1000,
    subject: (decode(message, encoding).trimStart().split('\n')[0] ?? '').trimEnd(),
  };
}

function decode(bytes: Buffer, encoding: string): string {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    // A wrong or unknown encoding; what can be read is shown.
    return decodeName(bytes);
  }
}
