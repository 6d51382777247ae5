import { expect, test } from 'vitest';
import { temporaryFolder } from '@slipway/testing';
import { catalogue } from './catalogue.ts';
import { slipway } from './test/slipway.ts';

test.concurrent('the help names every command that is not hidden, and exits with 0', async () => {
  const { code, stdout } = await slipway(['--help']);
  expect(code).toBe(0);
  for (const { name, hidden } of catalogue) expect(stdout.includes(`\n  ${name} `)).toBe(hidden !== true);
});

test.concurrent('every command has a help of its own', async () => {
  for (const args of [
    ['help', 'up'],
    ['up', '--help'],
  ]) {
    const { code, stdout } = await slipway(args);
    expect(code).toBe(0);
    expect(stdout).toContain('--router-port <port>');
    expect(stdout).toContain('--home <folder>');
  }
});

test('every command of the catalogue loads and declares itself', async () => {
  const { Command } = await import('commander');
  for (const entry of catalogue) {
    const command = new Command(entry.name).exitOverride();
    (await entry.load()).define(command);
    expect(command.helpInformation(), entry.name).toContain('Usage: ');
  }
});

test.concurrent.for([
  {
    args: ['stauts'],
    says: "slipway: there is no command 'stauts'. Did you mean 'status'? All commands: slipway --help\n",
  },
  { args: ['frobnicate'], says: "slipway: there is no command 'frobnicate'. See all commands: slipway --help\n" },
  {
    args: ['status', '--jsn'],
    says: "slipway: unknown option '--jsn'. Did you mean --json? See: slipway status --help\n",
  },
  {
    args: ['deploy', 'shop/staging'],
    says: "slipway: required option '--commit <sha>' not specified. See: slipway deploy --help\n",
  },
  {
    args: ['deploy', 'shop/staging', '--comit', '1234567'],
    says: "slipway: unknown option '--comit'. Did you mean --commit? See: slipway deploy --help\n",
  },
  { args: ['logs'], says: "slipway: missing required argument 'environment'. See: slipway logs --help\n" },
  {
    args: ['logs', 'shop'],
    says: "slipway: 'shop' does not name an environment. Write APP/ENV, e.g. shop/staging. What there is: slipway status\n",
  },
  {
    args: ['logs', 'shop/staging', '--lines', 'ten'],
    says: "slipway: --lines is 'ten'. Give a whole number from 0 to 100000.\n",
  },
  {
    args: ['exec', 'shop/staging', 'ls'],
    says: 'slipway: exec needs the command after two dashes. Write: slipway exec APP/ENV [SERVICE] -- COMMAND...\n',
  },
  { args: ['up', '--port', '70000'], says: "slipway: --port is '70000'. Give a whole number from 1 to 65535.\n" },
  {
    args: ['token', 'create', 'ci', '--role', 'boss'],
    says: "slipway: option '--role <role>' argument 'boss' is invalid. Allowed choices are viewer, deployer, admin. See: slipway token create --help\n",
  },
])('$args is asked wrongly: exit code 2 and what to do', async ({ args, says }) => {
  const { code, stdout, stderr } = await slipway(args, { home: await temporaryFolder() });
  expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: '', stderr: says });
});

test.concurrent('with --json an error is JSON on stdout', async () => {
  const { code, stdout, stderr } = await slipway(['stauts', '--json']);
  expect({ code, stderr }).toEqual({ code: 2, stderr: '' });
  expect(JSON.parse(stdout)).toEqual({
    error: {
      kind: 'mistake',
      title: "there is no command 'stauts'",
      hint: "Did you mean 'status'? All commands: slipway --help",
    },
  });
});

test.concurrent('without a running Slipway a command says how to start it', async () => {
  const home = await temporaryFolder();
  const { code, stderr } = await slipway(['status', '--home', home]);
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: `slipway: Slipway is not running (home ${home}). Start it: slipway up\n`,
  });
});
