import { messageOf } from '@slipway/app';
import type { Decision, GitAccess } from '@slipway/forge';
import { identify, mayDo } from '../access/tokens.ts';
import type { Context } from '../context.ts';
import { theRow } from '../database/sql.ts';
import { synchronizeTask } from '../tasks.ts';
import { narrate } from './console.ts';
import { synchronize } from './synchronize.ts';

/** Who may clone and push, and what a push sets in motion. */
export function gitAccess(context: Context): GitAccess {
  return {
    async authorize({ token }, app, action): Promise<Decision> {
      const identity = await identify(context.pool, token);
      if (!identity)
        return {
          allow: false,
          status: 401,
          message: token
            ? 'This token is not known here, or was revoked. Ask an admin for one.'
            : 'A token is needed: use it as the password, with any user name.',
        };
      if (action === 'write' && !mayDo(identity, 'deployer'))
        return {
          allow: false,
          status: 403,
          message: `The token "${identity.name}" is a viewer and may not push. Ask an admin: slipway token create NAME --role deployer`,
        };
      if (action === 'write' && !mayDo(identity, 'admin') && !(await context.forge.repositories()).includes(app))
        return {
          allow: false,
          status: 403,
          message: `There is no app ${app} yet. The first push, which creates it, is an admin's.`,
        };
      return {
        allow: true,
        actor: identity.name,
        create: action === 'write' && mayDo(identity, 'admin') ? 'yes' : 'no',
      };
    },

    async pushed(app, actor, changes, console): Promise<void> {
      let since: number;
      try {
        ({ since } = await theRow<{ since: number }>(
          context.pool,
          `select coalesce(max(id), 0)::int as since from event`,
        ));
        const pushed = changes.map(({ after }) => after).filter((sha) => sha !== null);
        await synchronize(context, app, actor, [...new Set(pushed)]);
      } catch (error) {
        // The commits are in the repository; what is to happen with them is found again by comparing, as soon as the database answers.
        context.log(`a push to ${app} could not be recorded: ${messageOf(error)}`);
        console.line(
          'Slipway has your commits but could not record the push yet. It tries again by itself; slipway status shows it.',
        );
        await context.queue.enqueue(synchronizeTask, { app }, { unique: `synchronize:${app}` }).catch(() => {});
        return;
      }
      await narrate(context, app, changes, console, since);
    },
  };
}
