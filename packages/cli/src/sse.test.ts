import { expect, test } from 'vitest';
import { serverSentEvents, textLines } from './sse.ts';

test('messages are put together however the bytes are cut', async () => {
  const text = ': hello\r\nid: 7\nevent: event\ndata: {"a":\ndata: "ü"}\n\nid: 8\n\ndata\n\ndata:no blank\n\n';
  const bytes = new TextEncoder().encode(text);
  for (const size of [1, 2, 3, 7, bytes.length]) {
    expect(await collect(serverSentEvents(chunks(bytes, size)))).toEqual([
      { event: 'event', data: '{"a":\n"ü"}', id: '7' },
      { event: 'message', data: '', id: '8' },
      { event: 'message', data: 'no blank', id: '8' },
    ]);
  }
});

test('a message that was cut off by the end is not one', async () => {
  expect(await collect(serverSentEvents(chunks(new TextEncoder().encode('data: half'), 100)))).toEqual([]);
});

test('an unfinished last line counts', async () => {
  expect(await collect(textLines(chunks(new TextEncoder().encode('a\r\nb\n\nc'), 2)))).toEqual(['a', 'b', '', 'c']);
});

async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  return Array.fromAsync(values);
}
