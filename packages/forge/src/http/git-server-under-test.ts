import { GitServer } from './git-server-fixture.ts';

/**
 * A process that serves pushes, to be killed: `git-server-under-test.ts FOLDER [REFS_UPDATED]`. With `hang` it goes no further
 * once a push has updated the refs. Writes one line when it answers, and one when it hangs.
 */
const [folder = '', refsUpdated = 'go on'] = process.argv.slice(2);
const server = await GitServer.start({}, folder);
if (refsUpdated === 'hang') {
  server.forge.keep = async () => {
    console.log('refs are updated');
    await new Promise(() => {});
  };
}
console.log(`serves ${server.url('shop')}`);
