import { existsSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { SlipwayError } from '@slipway/app/errors';
import type { Command } from 'commander';
import { serverAddress } from '../client.ts';
import { contextOf } from '../context.ts';
import { homeFolder } from '../home.ts';

export function define(command: Command): void {
  command
    .argument('[folder]', 'the repository; this folder when left out')
    .option('--force', 'replace the slipway.yaml there is')
    .action(async (folder: string | undefined, options: { force?: boolean }) => {
      const context = contextOf(command);
      const root = resolve(folder ?? '.');
      const file = join(root, 'slipway.yaml');
      if (!existsSync(root))
        throw new SlipwayError('mistake', `the folder ${root} does not exist`, {
          hint: 'Give the folder of your repository.',
        });
      if (existsSync(file) && options.force !== true) {
        throw new SlipwayError('conflict', `${file} exists already`, {
          hint: 'It was left as it is. Replace it: slipway init --force',
        });
      }
      const { proposeApp } = await import('../init/index.ts');
      const { yaml, notes } = await proposeApp(root);
      writeFileSync(file, yaml);
      context.print(
        { file, yaml, notes },
        [`Wrote ${file}`, ...notes.map((note) => `  ${note}`), '', ...(await nextSteps(yaml, root, context.home))].join(
          '\n',
        ),
      );
    });
}

async function nextSteps(yaml: string, root: string, home: string): Promise<string[]> {
  const app = /^app:\s*(\S+)/m.exec(yaml)?.[1] ?? 'APP';
  const branch = /\bbranch:\s*([^\s,}]+)/.exec(yaml)?.[1] ?? 'main';
  const address = await serverAddress(home).catch(() => null);
  // The option is for a home that git, run from another terminal, would not find.
  const credential = `slipway credential${home === homeFolder(undefined) ? '' : ` --home ${home}`}`;
  const steps = [
    'Read it; its comments say what each part does.',
    ...(existsSync(join(root, '.git'))
      ? []
      : [`git init -b ${branch} && git add .   (a .gitignore keeps out what is installed or secret)`]),
    'git add slipway.yaml && git commit -m "Add slipway.yaml"',
    address === null ? 'Start Slipway: slipway up' : `Slipway runs already at ${address.url}`,
    `git config credential.helper '!${credential}'   (or type the token as password)`,
    `git remote add slipway ${address?.url ?? 'http://127.0.0.1:7300'}/git/${app}.git`,
    `git push slipway ${branch}`,
  ];
  return ['Next:', ...steps.map((step, index) => `  ${index + 1}. ${step}`)];
}
