import { z } from 'zod';
import type { JsonPatchOperation, PatchContent } from './app.ts';
import { describe, oneOf, text } from './fields.ts';
import { nearest } from './nearest.ts';
import { isMapping } from './rules.ts';

/** The section `kubernetes`: what is changed in the objects that Slipway makes. What may not be changed is known to the engine. */

/** Kinds that a patch may be for. Config and secrets are named by their content, so they are changed where they come from. */
export const PATCHABLE_KINDS = [
  'CronJob',
  'Deployment',
  'HTTPRoute',
  'HorizontalPodAutoscaler',
  'Ingress',
  'Job',
  'Namespace',
  'NetworkPolicy',
  'PodDisruptionBudget',
  'ResourceQuota',
  'Service',
  'ServiceAccount',
] as const;

const OPERATIONS: readonly string[] = ['add', 'remove', 'replace', 'move', 'copy', 'test'];
const POINTER = /^(\/([^~/]|~[01])*)*$/;

const content = z
  .unknown()
  .transform((value, context): PatchContent => {
    const problem = (path: PropertyKey[], message: string): void => {
      context.issues.push({ code: 'custom', path, message, input: value });
    };
    if (isMapping(value)) return value;
    if (!Array.isArray(value)) {
      const found = value === undefined ? 'is missing,' : `found ${describe(value)},`;
      problem([], `${found} expected a mapping (merged into the object) or a list of JSON patch operations`);
      return z.NEVER;
    }
    for (const [index, operation] of (value as unknown[]).entries()) {
      for (const { path, message } of operationProblems(operation)) problem([index, ...path], message);
    }
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each operation was looked at
    return value as JsonPatchOperation[];
  })
  .meta({
    description:
      'A mapping is merged into the object, lists of containers, variables, ports and volumes by their names; a list is a JSON patch (RFC 6902).',
    anyOf: [
      { type: 'object' },
      {
        type: 'array',
        items: {
          type: 'object',
          required: ['op', 'path'],
          properties: {
            op: { enum: OPERATIONS, description: 'What is done.' },
            path: { type: 'string', description: 'Where, as a JSON pointer such as /spec/replicas.' },
            from: { type: 'string', description: 'move and copy: from where.' },
            value: { description: 'add, replace and test: what.' },
          },
        },
      },
    ],
  });

function operationProblems(operation: unknown): { path: PropertyKey[]; message: string }[] {
  if (!isMapping(operation))
    return [
      {
        path: [],
        message: `found ${describe(operation)}, expected an operation such as { op: add, path: /a, value: 1 }`,
      },
    ];
  const problems: { path: PropertyKey[]; message: string }[] = [];
  const { op, path, from } = operation;
  if (typeof op !== 'string' || !OPERATIONS.includes(op)) {
    const near = typeof op === 'string' ? nearest(op, OPERATIONS) : null;
    const hint = near === null ? '' : `; did you mean "${near}"?`;
    problems.push({ path: ['op'], message: `found ${describe(op)}, expected one of ${OPERATIONS.join(', ')}${hint}` });
  }
  const pointers = op === 'move' || op === 'copy' ? { path, from } : { path };
  for (const [name, pointer] of Object.entries(pointers)) {
    if (typeof pointer !== 'string' || !POINTER.test(pointer))
      problems.push({
        path: [name],
        message: `found ${describe(pointer)}, expected a JSON pointer such as /spec/replicas`,
      });
  }
  if ((op === 'add' || op === 'replace' || op === 'test') && !Object.hasOwn(operation, 'value'))
    problems.push({ path: ['value'], message: `is missing, expected what to ${op}` });
  for (const name of Object.keys(operation)) {
    if (!['op', 'path', 'from', 'value'].includes(name))
      problems.push({ path: [name], message: `unknown key "${name}", expected one of "op", "path", "from", "value"` });
  }
  return problems;
}

const patchSchema = z
  .strictObject({
    target: z
      .strictObject({
        kind: oneOf('Kind of the objects it is for.', PATCHABLE_KINDS),
        name: text(
          'Name of the object, or of the service, worker or job it belongs to. Default: all of that kind.',
          'a name',
        )
          .nullable()
          .optional(),
      })
      .meta({ description: 'Which objects.' }),
    patch: content,
  })
  .meta({ description: 'One change to the objects that Slipway makes.' });

export const kubernetesSchema = z
  .strictObject({
    patches: z
      .array(patchSchema)
      .meta({ description: 'Changes to the objects, in this order. Default: none.' })
      .nullable()
      .optional(),
  })
  .meta({ description: 'What is different on Kubernetes. Policy: it is read from the default branch.' })
  .nullable()
  .optional();

export type KubernetesFile = z.output<typeof kubernetesSchema>;
