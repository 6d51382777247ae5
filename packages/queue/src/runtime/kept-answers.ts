import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { z } from 'zod';

/** What a kept program says on fd 4, one JSON object a line. */
const answerSchema = z.union([
  z.object({ done: z.string(), result: z.unknown().optional() }),
  z.object({
    failed: z.string(),
    error: z.string(),
    discard: z.boolean().optional(),
    /** Seconds. */
    again: z.number().nonnegative().optional(),
  }),
  z.object({ progress: z.string(), value: z.unknown() }),
]);
export type KeptAnswer = z.infer<typeof answerSchema>;

/** Characters; a result is small. */
const longestAnswer = 1024 * 1024;
const shownOfGarbage = 200;

export interface AnswerListener {
  answer: (answer: KeptAnswer) => void;
  /** What came can't be trusted any more; called once, and nothing comes after it. */
  broken: (message: string) => void;
}

/** Reads answers until the channel closes. Memory is bounded, whatever is written there. */
export function readAnswers(channel: Readable, listener: AnswerListener): void {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  let isBroken = false;
  const fail = (message: string): void => {
    if (isBroken) return;
    isBroken = true;
    rest = '';
    listener.broken(message);
  };
  channel.on('data', (chunk: Buffer) => {
    if (isBroken) return;
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const answer = parseAnswer(line);
      if (answer === null)
        return fail(`It wrote something to fd 4 that is no answer: ${line.slice(0, shownOfGarbage)}`);
      listener.answer(answer);
    }
    if (rest.length > longestAnswer) fail(`It wrote a line to fd 4 with more than ${longestAnswer} characters.`);
  });
  channel.on('close', () => fail('It closed fd 4, so it can give no answer.'));
}

function parseAnswer(line: string): KeptAnswer | null {
  try {
    return answerSchema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}
