import { expect, test } from 'vitest';
import { frame, FrameReader, pieces } from './exec-frames.ts';

test('frames survive any cut of the stream', () => {
  const stream = Buffer.concat([
    frame('stdout', Buffer.from('one')),
    frame('stdin', new Uint8Array()),
    frame('exit', '{"exitCode":0}'),
  ]);
  for (let size = 1; size <= stream.length; size += 1) {
    const reader = new FrameReader();
    const seen: string[] = [];
    for (let at = 0; at < stream.length; at += size) {
      for (const { kind, data } of reader.read(stream.subarray(at, at + size))) seen.push(`${kind} ${data.toString()}`);
    }
    expect(seen).toEqual(['stdout one', 'stdin ', 'exit {"exitCode":0}']);
  }
});

test('what is no frame, or a larger one than any peer sends, is refused', () => {
  expect(() => new FrameReader().read(Buffer.from([9, 0, 0, 0, 0]))).toThrow('not an exec frame');
  expect(() => new FrameReader().read(Buffer.from([1, 255, 255, 255, 255]))).toThrow('not an exec frame');
  expect(pieces(new Uint8Array(2_500_000)).map((piece) => piece.length)).toEqual([1_048_576, 1_048_576, 402_848]);
});
