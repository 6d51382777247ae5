import { stringify } from 'yaml';
import type { ProposedProcess } from './proposal.ts';

/** Everything the file says, names valid and unique. */
export interface Proposal {
  app: string;
  services: (ProposedProcess & { build: string | null; route: boolean })[];
  workers: (ProposedProcess & { build: string | null })[];
  jobs: ProposedProcess[];
  checks: { name: string; run: string }[];
  branch: string;
  /** Where variables may be needed: names only, their values stay where they are. */
  variables: string[];
  notes: string[];
}

/** The file with its comments. */
export function writeYaml(proposal: Proposal): string {
  return [
    '# What Slipway does with this repository. Every field and its default: docs/slipway-yaml.md of Slipway.',
    ...proposal.notes.map((note) => `# Check: ${comment(note)}`),
    `app: ${proposal.app}`,
    ...section('services', proposal.services, serviceLines),
    ...section('workers', proposal.workers, (worker) => [
      ...(worker.build === null ? [] : [`    build: ${text(worker.build)} # once per release, in its checkout`]),
      `    run: ${text(worker.run)}`,
      '    replicas: 1 # or a range such as 0..20',
    ]),
    ...section('jobs', proposal.jobs, (job) => [
      `    run: ${text(job.run)}`,
      '    when: before-deploy # a deploy whose job fails changes nothing',
    ]),
    ...section('checks', proposal.checks, (check) => [
      `    run: ${text(check.run)} # over a read-only checkout of each commit; write to $TMPDIR only`,
    ]),
    ...variables(proposal.variables),
    '',
    'environments:',
    '  # Each push to this branch is deployed here once its checks passed.',
    `  staging: { branch: ${text(proposal.branch)} }`,
    `  # Gets what runs on staging when a person says so: slipway promote ${proposal.app}/production`,
    '  production: { from: staging, approve: true, protected: true }',
    '  # Each other branch gets an environment of its own, which sleeps when nobody looks.',
    '  preview: { pull-requests: true, ttl: 72h, sleep: 30m }',
    '',
  ].join('\n');
}

function serviceLines(service: Proposal['services'][number]): string[] {
  return [
    ...(service.build === null ? [] : [`    build: ${text(service.build)} # once per release, in its checkout`]),
    `    run: ${text(service.run)}`,
    ...(service.port === undefined ? [] : [`    port: ${service.port} # on Kubernetes; everywhere else PORT is set`]),
    service.route
      ? '    route: / # public; the host comes from the environment'
      : `    # route: /${service.name} # would make it public`,
    '    # health: /healthz # a path that answers 2xx or 3xx; without it an open port is enough',
  ];
}

function section<Thing extends { name: string; comment?: string }>(
  name: string,
  things: Thing[],
  lines: (thing: Thing) => string[],
): string[] {
  if (things.length === 0) return [];
  return [
    '',
    `${name}:`,
    ...things.flatMap((thing) => [
      ...(thing.comment === undefined ? [] : [`  # ${comment(thing.comment)}`]),
      `  ${thing.name}:`,
      ...lines(thing),
    ]),
  ];
}

function variables(names: string[]): string[] {
  if (names.length === 0) return [];
  return [
    '',
    '# These names are in the example of an .env file. Put what anyone may see into config, names of the rest into secrets.',
    '# config:',
    ...names.map((name) => `#   ${name}: ""`),
    '# secrets: []',
  ];
}

/** A scalar on one line, quoted where YAML needs it. */
function text(value: string): string {
  return stringify(value, { lineWidth: 0, defaultStringType: 'PLAIN', blockQuote: false }).trim();
}

function comment(value: string): string {
  return value.replaceAll(/[^\P{C}]+/gu, ' ');
}
