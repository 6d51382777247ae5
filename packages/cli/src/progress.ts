import { stripVTControlCharacters, styleText } from 'node:util';

/** Shows long work on a terminal, one line that changes in place; says nothing in a pipe. */
export interface Progress {
  /** What is being done now; replaces the line. */
  now: (text: string) => void;
  /** A line that stays, above the changing one. */
  note: (text: string) => void;
  /** Takes the changing line away, until `now` is called again. Safe to call twice. */
  end: () => void;
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MILLISECONDS = 80;

/** @param quiet Says nothing although it is a terminal, for `--json`. */
export function startProgress(quiet: boolean): Progress {
  const stream = process.stderr;
  if (quiet || !stream.isTTY) return { now: () => {}, note: () => {}, end: () => {} };
  let text = '';
  let frame = 0;
  const draw = () => {
    if (text === '') return;
    const room = (stream.columns || 80) - 3;
    const cut =
      stripVTControlCharacters(text).length > room ? `${stripVTControlCharacters(text).slice(0, room - 1)}…` : text;
    stream.write(`\r\u001b[K${styleText('cyan', FRAMES[frame++ % FRAMES.length] ?? '', { stream })} ${cut}`);
  };
  const clear = () => stream.write('\r\u001b[K');
  let timer: NodeJS.Timeout | undefined;
  return {
    now: (next) => {
      text = next;
      timer ??= setInterval(draw, FRAME_MILLISECONDS).unref();
      draw();
    },
    note: (line) => {
      clear();
      stream.write(`${line}\n`);
      draw();
    },
    end: () => {
      clearInterval(timer);
      timer = undefined;
      if (text !== '') clear();
      text = '';
    },
  };
}
