import type { Command } from 'commander';
import { homeFolder } from './home.ts';

/** What every command knows about how it was asked. */
export interface Context {
  json: boolean;
  /** Absolute path of Slipway's home. */
  home: string;
  /** What stood after `slipway`, as it was written. */
  args: string[];
  /** Absolute path of the program file, to start Slipway's own processes with. */
  entry: string;
  /** Prints the result: JSON with `--json`, else the text for people. */
  print(data: unknown, text: string): void;
}

let invocation: Pick<Context, 'args' | 'entry'> = { args: [], entry: '' };

/** Tells how the program was started; once, before any command runs. */
export function setInvocation(started: Pick<Context, 'args' | 'entry'>): void {
  invocation = started;
}

export function contextOf(command: Command): Context {
  const options = command.optsWithGlobals<{ home?: string; json?: boolean }>();
  const json = options.json === true;
  return {
    json,
    home: homeFolder(options.home),
    ...invocation,
    print: (data, text) => {
      process.stdout.write(json ? `${JSON.stringify(data)}\n` : text === '' ? '' : `${text}\n`);
    },
  };
}
