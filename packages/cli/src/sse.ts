/** One message of a `text/event-stream`. */
export interface ServerSentEvent {
  /** Its `event:` name; `message` when it has none. */
  event: string;
  data: string;
  /** The last id the stream has named so far; null before the first. */
  id: string | null;
}

/**
 * Reads server-sent events as the HTML standard (9.2.6) says: fields by line, an empty line ends a message, a message
 * without data is dropped. Ends when the stream ends.
 */
export async function* serverSentEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  let event = '';
  let data: string[] = [];
  let id: string | null = null;
  for await (const line of textLines(body)) {
    if (line === '') {
      if (data.length > 0) yield { event: event || 'message', data: data.join('\n'), id };
      event = '';
      data = [];
      continue;
    }
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') event = value;
    else if (field === 'data') data.push(value);
    else if (field === 'id' && !value.includes('\0')) id = value;
  }
}

/** Splits bytes into lines at `\n` or `\r\n`; characters cut between two chunks are put together. An unfinished last line counts. */
export async function* textLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield line.endsWith('\r') ? line.slice(0, -1) : line;
  }
  rest += decoder.decode();
  if (rest !== '') yield rest;
}
