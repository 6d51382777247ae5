import { Document, isMap, isScalar, type YAMLMap } from 'yaml';
import { version } from '../version.ts';
import { helmTemplate } from './helm-template.ts';
import { objects } from './objects.ts';
import { defaultValues, valuesJsonSchema } from './values.ts';

const GENERATED = 'Written by `npm run chart`; change packages/cli/src/install instead.';

/** What of JSON Schema is read here. */
interface Described {
  description?: string | undefined;
  properties?: Record<string, Described | boolean> | undefined;
}

/** The files of the chart that are made of the description, by their path in it. */
export function chartFiles(): Record<string, string> {
  const files: Record<string, string> = {
    'Chart.yaml': chartYaml(),
    'values.yaml': valuesYaml(),
    'values.schema.json': `${JSON.stringify(valuesJsonSchema(), null, 2)}\n`,
  };
  for (const [name, template] of Object.entries(objects))
    files[`templates/${name}.yaml`] = `# ${GENERATED}\n${helmTemplate(template)}`;
  return files;
}

function chartYaml(): string {
  return `# ${GENERATED}
apiVersion: v2
name: slipway
description: From commit to running environment, and the background work behind it.
type: application
version: ${version}
appVersion: ${JSON.stringify(version)}
# preStop: sleep in what Slipway makes, and containers that start before others and end after them.
kubeVersion: ">=1.30.0-0"
`;
}

/** Every value with what it is for and its default; those without a default as comments. */
function valuesYaml(): string {
  // Helm reads YAML 1.1, where `off` is no text.
  const document = new Document(defaultValues(), { version: '1.1' });
  document.directives = undefined;
  document.commentBefore = ` ${GENERATED}`;
  if (isMap(document.contents)) describe(document.contents, valuesJsonSchema());
  return document.toString({ lineWidth: 0 });
}

function describe(map: YAMLMap, schema: Described): void {
  const missing: string[] = [];
  for (const [key, of] of Object.entries(schema.properties ?? {})) {
    if (typeof of === 'boolean' || key === 'global') continue;
    const pair = map.items.find((item) => isScalar(item.key) && item.key.value === key);
    if (pair === undefined) {
      missing.push(` ${of.description ?? ''}`, ` ${key}:`);
      continue;
    }
    if (isScalar(pair.key)) {
      const about = of.description === undefined ? [] : [` ${of.description}`];
      const before = [...missing.splice(0), ...about];
      if (before.length > 0) pair.key.commentBefore = before.join('\n');
    }
    if (isMap(pair.value)) describe(pair.value, of);
  }
  if (missing.length > 0) map.comment = missing.join('\n');
}
