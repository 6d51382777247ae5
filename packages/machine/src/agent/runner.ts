import { fileURLToPath } from 'node:url';
import { blockedAt, type AppUser } from './user.ts';

/** The runner that came with this agent, started by this Node or, where the app user can't run that, by the one on its PATH. */
export function installedRunner(user: AppUser | null): readonly string[] {
  const entry = fileURLToPath(import.meta.resolve('@slipway/queue/runner'));
  const node = user === null || blockedAt(process.execPath, user) === null ? process.execPath : 'node';
  return [node, entry];
}

/** What of the runner the app user can't read, as a sentence for the operator; null when nothing is in the way. */
export function closedRunner(runner: readonly string[], user: AppUser | null): string | null {
  if (user === null) return null;
  const blocked = runner.filter((word) => word.startsWith('/')).map((word) => blockedAt(word, user));
  const first = blocked.find((path) => path !== null) ?? null;
  if (first === null) return null;
  return (
    `Workers will not start: they run as the unprivileged user ${user.uid}, who can't read ${first}. ` +
    'Install Slipway where every user may read it, or allow it with chmod o+rx, and start the agent again. Services are not affected.'
  );
}

/** Words for `eval` in a shell, whatever they hold. */
export function shellWords(words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ');
}
