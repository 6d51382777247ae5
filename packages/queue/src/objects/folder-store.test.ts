import { rename } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { temporaryFolder } from '@slipway/testing';
import { objectStoreConformance } from './conformance/index.ts';

objectStoreConformance('folder', async () => {
  const folder = path.join(await temporaryFolder(), 'objects of mine');
  return {
    url: pathToFileURL(folder).href,
    variables: {},
    secrets: [],
    takeDown: async () => await rename(folder, `${folder}.away`),
    bringUp: async () => await rename(`${folder}.away`, folder),
    dispose: async () => undefined, // the run's folder goes as a whole
  };
});
