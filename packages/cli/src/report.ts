import { styleText } from 'node:util';
import { SlipwayError } from '@slipway/app/errors';
import { version } from './version.ts';

/** 2 for what was asked wrongly, 1 for what failed. */
export function exitCode(error: unknown): 1 | 2 {
  if (!(error instanceof SlipwayError)) return 1;
  return error.kind === 'mistake' || error.kind === 'denied' || error.kind === 'not-found' ? 2 : 1;
}

/**
 * Says what went wrong: on stderr for people, as `{error: {kind, title, hint}}` on stdout with `--json`. Only a bug shows
 * a stack and how to report it.
 */
export function reportError(error: unknown, json: boolean): void {
  const known = error instanceof SlipwayError ? error : null;
  if (json) {
    const title = known?.message ?? (error instanceof Error ? error.message : String(error));
    process.stdout.write(
      `${JSON.stringify({ error: { kind: known?.kind ?? 'bug', title, hint: known?.hint ?? null } })}\n`,
    );
  }
  if (known === null) {
    process.stderr.write(`${mark()} this is a bug in Slipway ${version}, not your mistake.\n${stackOf(error)}\n`);
    process.stderr.write('Please report it with the lines above and the command you ran.\n');
    return;
  }
  if (!json) process.stderr.write(`${errorText(known)}\n`);
}

/** `slipway: what happened. why. what to do`. */
export function errorText(error: SlipwayError): string {
  return `${mark()} ${sentence(error.message)}${error.hint === null ? '' : ` ${error.hint}`}`;
}

function mark(): string {
  return styleText('red', 'slipway:', { stream: process.stderr });
}

function sentence(text: string): string {
  return /[.!?:]$/.test(text.trimEnd()) ? text.trimEnd() : `${text.trimEnd()}.`;
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\nCaused by: ${stackOf(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}
