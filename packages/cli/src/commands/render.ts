import type { Command } from 'commander';
import { contextOf } from '../context.ts';
import type { RenderCommandOptions } from '../render/render-checkout.ts';
import { environmentTarget } from '../target.ts';

export function define(command: Command): void {
  command
    .argument('<app/env>', 'the environment, pr-NUMBER for that of a pull request')
    .option('--folder <folder>', 'the checkout with slipway.yaml', '.')
    .option('--commit <sha>', 'the tag of the images (default: the commit that is checked out)')
    .option('--no-resolve', 'leave images by tag, and ask no registry for digests', true)
    .option('--domain <domain>', 'the environment is also ENV.APP.DOMAIN')
    .option('--gateway <namespace/name>', 'the Gateway by which requests come in (default: gateway/gateway)')
    .option(
      '--ingress <namespace/class>',
      'for a cluster without the Gateway API: namespace and class of the controller',
    )
    .option('--reach <cidr...>', 'private networks that processes may reach, such as that of a database')
    .option('--secret <name>', 'Secret in the namespace that holds the secret variables')
    .option('--pull-secret <name>', 'Secret in the namespace by which images are pulled')
    .option('--policy <ref>', 'git ref whose slipway.yaml says environments and patches')
    .addHelpText(
      'after',
      '\nFor GitOps: slipway render shop/production > production.yaml. Needs no control plane and no cluster.',
    )
    .action(async (environment: string, options: RenderCommandOptions) => {
      const { renderCheckout } = await import('../render/render-checkout.ts');
      const { manifest } = await import('@slipway/kubernetes');
      const { objects, notes } = await renderCheckout(environmentTarget(environment), options);
      for (const note of notes) process.stderr.write(`slipway: ${note}\n`);
      contextOf(command).print({ apiVersion: 'v1', kind: 'List', items: objects }, manifest(objects).trimEnd());
    });
}
