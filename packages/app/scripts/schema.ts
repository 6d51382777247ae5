import { writeFileSync } from 'node:fs';
import { jsonSchema } from '../src/index.ts';

/** Writes slipway.schema.json beside this package; a test fails when the file is not what this makes. */
writeFileSync(new URL('../slipway.schema.json', import.meta.url), `${JSON.stringify(jsonSchema(), null, 2)}\n`);
