import { Command, CommanderError } from 'commander';
import { SlipwayError } from '@slipway/app/errors';
import { nearest } from '@slipway/app/nearest';
import { catalogue } from './catalogue.ts';
import { setInvocation } from './context.ts';
import { exitCode, reportError } from './report.ts';
import { version } from './version.ts';

/**
 * Runs one command line to its end.
 *
 * The general help comes from the catalogue alone; only the file of the command that is asked for is loaded, so that
 * `slipway --help` and every thin command start at once.
 *
 * @param args What stands after `slipway`.
 * @param entry Absolute path of the program file, to start Slipway's own processes with.
 * @returns The exit code: 0 it worked, 1 it failed, 2 it was asked wrongly. Never throws.
 */
export async function run(args: string[], entry: string): Promise<number> {
  setInvocation({ args, entry });
  process.stdout.on('error', leaveOnClosedPipe);
  const program = declareProgram();
  try {
    await program.parseAsync(helpAsOption(args), { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    const reported = error instanceof CommanderError ? usageError(error, program) : error;
    reportError(reported, args.includes('--json'));
    return exitCode(reported);
  }
}

function declareProgram(): Command {
  const program = new Command('slipway')
    .description('From commit to running environment, on one machine or on Kubernetes.')
    .version(version, '--version', 'print the version')
    .option('--home <folder>', 'where Slipway keeps its state (default: SLIPWAY_HOME, else ~/.slipway)')
    .option('--json', 'print JSON, for programs')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .configureHelp({ showGlobalOptions: true });
  for (const entry of catalogue) {
    const command = program.command(entry.name, entry.hidden === true ? { hidden: true } : {});
    command.summary(entry.summary).description(entry.summary).usage(entry.usage);
    command.copyInheritedSettings(program);
  }
  program.hook('preSubcommand', async (_, command) => {
    const entry = catalogue.find(({ name }) => name === command.name());
    if (entry === undefined) throw new Error(`command ${command.name()} is not in the catalogue`);
    const { define } = await entry.load();
    define(command);
  });
  // Without a command: what there is.
  program.action((_, self: Command) => {
    const unknown = self.args[0];
    if (unknown !== undefined) throw unknownCommand(unknown);
    self.help();
  });
  return program.allowExcessArguments();
}

/** `slipway help up` is `slipway up --help`: the options of a command are known once its file is loaded. */
function helpAsOption(args: string[]): string[] {
  return args[0] === 'help' ? [...args.slice(1), '--help'] : args;
}

function unknownCommand(name: string): SlipwayError {
  const near = nearest(
    name,
    catalogue.filter(({ hidden }) => hidden !== true).map(({ name }) => name),
  );
  return new SlipwayError('mistake', `there is no command '${name}'`, {
    hint: near === null ? 'See all commands: slipway --help' : `Did you mean '${near}'? All commands: slipway --help`,
  });
}

/** Commander's own complaint in the words of the product: what happened, and what to do. */
function usageError(error: CommanderError, program: Command): SlipwayError {
  const [what = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const command = askedCommand(program);
  const help = `See: ${commandPath(command)} --help`;
  const misspelt = error.code.startsWith('commander.missing') ? unknownOption(program.args, command) : null;
  if (misspelt !== null) {
    const near = nearest(misspelt, optionsOf(command));
    const meant = near === null ? '' : `Did you mean ${near}? `;
    return new SlipwayError('mistake', `unknown option '${misspelt}'`, { hint: `${meant}${help}` });
  }
  const meant = suggestion === undefined ? '' : `${suggestion.replace(/^\(|\)$/g, '')} `;
  return new SlipwayError('mistake', what, { hint: `${meant}${help}` });
}

/** The innermost command, e.g. `create` of `slipway token create`. */
function askedCommand(program: Command): Command {
  let asked = program;
  for (const word of program.args) {
    const inner = asked.commands.find((command) => command.name() === word);
    if (inner === undefined) break;
    asked = inner;
  }
  return asked;
}

function commandPath(command: Command): string {
  return command.parent === null ? command.name() : `${commandPath(command.parent)} ${command.name()}`;
}

function optionsOf(command: Command): string[] {
  const own = command.options.flatMap(({ long }) => long ?? []);
  return command.parent === null ? [...own, '--help'] : [...own, ...optionsOf(command.parent)];
}

/** Commander tells what is missing first, also when it is there, but misspelt. */
function unknownOption(args: string[], command: Command): string | null {
  const dashes = args.indexOf('--');
  const known = optionsOf(command);
  const names = args.slice(0, dashes === -1 ? args.length : dashes).map((arg) => arg.split('=', 1)[0] ?? '');
  return names.find((name) => name.startsWith('--') && !known.includes(name)) ?? null;
}

/** `slipway logs ... | head`: the reader has seen enough. */
function leaveOnClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
}
