import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { chartFiles } from './chart-files.ts';

/** What `npm run chart` runs: writes the generated files of the chart anew. Those that are written by hand stay. */

const chart = join(import.meta.dirname, '..', '..', '..', '..', 'chart');
const templates = join(chart, 'templates');

mkdirSync(templates, { recursive: true });
for (const name of readdirSync(templates)) if (name.endsWith('.yaml')) rmSync(join(templates, name));
for (const [name, content] of Object.entries(chartFiles())) {
  mkdirSync(dirname(join(chart, name)), { recursive: true });
  writeFileSync(join(chart, name), content);
}
