import { createHash, randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import { SlipwayError } from '@slipway/app';
import type { ApiCreatedToken, ApiToken, Role } from '../api/schemas.ts';
import { row, rows, theRow, type Database } from '../database/sql.ts';
import { appendEvent } from '../events/append.ts';

/**
 * | role | may |
 * | --- | --- |
 * | viewer   | read everything but secrets, clone |
 * | deployer | push to existing apps, deploy, promote, roll back, run jobs, exec, remove previews |
 * | admin    | all of it: create apps by a first push, approve, remove long-lived environments, manage tokens |
 */
const rank: Record<Role, number> = { viewer: 0, deployer: 1, admin: 2 };

export interface Identity {
  tokenId: string;
  name: string;
  role: Role;
}

export function mayDo(identity: Identity, needed: Role): boolean {
  return rank[identity.role] >= rank[needed];
}

/** @throws {SlipwayError} `denied` when the token's role is too small. */
export function requireRole(identity: Identity, needed: Role, what: string): void {
  if (mayDo(identity, needed)) return;
  throw new SlipwayError(
    'denied',
    `The token "${identity.name}" is a ${identity.role}; ${what} needs ${article(needed)}.`,
    {
      hint: `Ask an admin for one: slipway token create NAME --role ${needed}`,
    },
  );
}

function article(role: Role): string {
  return role === 'admin' ? 'an admin' : `a ${role}`;
}

/** Only this hash is stored. Tokens are 256 random bits, so a plain hash can't be guessed back. */
function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

const tokenColumns = `id::text, name, role, created_at as "createdAt", last_used_at as "lastUsedAt", revoked_at as "revokedAt"`;
interface TokenRow {
  id: string;
  name: string;
  role: Role;
  createdAt: Date;
  lastUsedAt: Date | null;
  revokedAt: Date | null;
}

/** Whose token this is; null when there is none, or it was revoked. */
export async function identify(pool: Pool, token: string | null): Promise<Identity | null> {
  if (!token) return null;
  const found = await row<TokenRow>(pool, `select ${tokenColumns} from token where hash = $1 and revoked_at is null`, [
    hashToken(token),
  ]);
  if (!found) return null;
  // Once a minute is exact enough, and a busy token does not write at each request.
  if (!found.lastUsedAt || Date.now() - found.lastUsedAt.getTime() > 60_000)
    await pool.query(`update token set last_used_at = now() where id = $1`, [found.id]);
  return { tokenId: found.id, name: found.name, role: found.role };
}

/** Makes a token. Its text is in the answer and nowhere else. */
export async function createToken(
  db: Database,
  wish: { name: string; role: Role },
  actor: string,
): Promise<ApiCreatedToken> {
  const token = `slw_${randomBytes(32).toString('base64url')}`;
  const created = await addToken(db, wish, token);
  await appendEvent(db, {
    kind: 'token.created',
    actor,
    message: `${actor} made the token "${wish.name}" (${wish.role}).`,
    data: { token: created.id },
  });
  return { ...created, token };
}

async function addToken(db: Database, wish: { name: string; role: Role }, token: string): Promise<ApiToken> {
  const created = await theRow<TokenRow>(
    db,
    `insert into token (name, role, hash) values ($1, $2, $3)
     on conflict (hash) do update set revoked_at = null returning ${tokenColumns}`,
    [wish.name, wish.role, hashToken(token)],
  );
  return viewToken(created);
}

/** Makes sure that the admin token the operator holds in a file is known: a new home, or a database that was replaced. */
export async function acceptAdminToken(db: Database, token: string): Promise<void> {
  const known = await row(db, `select id from token where hash = $1 and revoked_at is null`, [hashToken(token)]);
  if (!known) await addToken(db, { name: 'local', role: 'admin' }, token);
}

export async function listTokens(db: Database): Promise<ApiToken[]> {
  return (await rows<TokenRow>(db, `select ${tokenColumns} from token order by id`)).map(viewToken);
}

/** From now on the token opens nothing. @throws {SlipwayError} `not-found`; `conflict` for the last admin token. */
export async function revokeToken(db: Database, id: string, actor: string): Promise<void> {
  const found = /^\d{1,18}$/.test(id)
    ? await row<TokenRow>(db, `select ${tokenColumns} from token where id = $1`, [id])
    : null;
  if (!found) throw new SlipwayError('not-found', `There is no token ${id}.`, { hint: 'slipway token list' });
  if (found.revokedAt) return;
  const admins = await rows(db, `select id from token where role = 'admin' and revoked_at is null and id <> $1`, [id]);
  if (found.role === 'admin' && admins.length === 0)
    throw new SlipwayError(
      'conflict',
      `"${found.name}" is the last admin token; without it nobody could make another.`,
      {
        hint: 'Make a new one first: slipway token create NAME --role admin',
      },
    );
  await db.query(`update token set revoked_at = now() where id = $1`, [id]);
  await appendEvent(db, {
    kind: 'token.revoked',
    actor,
    message: `${actor} revoked the token "${found.name}".`,
    data: { token: id },
  });
}

function viewToken(token: TokenRow): ApiToken {
  return {
    id: token.id,
    name: token.name,
    role: token.role,
    createdAt: token.createdAt.toISOString(),
    lastUsedAt: token.lastUsedAt?.toISOString() ?? null,
    revokedAt: token.revokedAt?.toISOString() ?? null,
  };
}
