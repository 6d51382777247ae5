import {
  formatProblem,
  parseApp,
  parseConfig,
  resolveConfig,
  SlipwayError,
  configPaths,
  type App,
  type Environment as EnvironmentPolicy,
  type Problem,
} from '@slipway/app';
import type { Forge } from '@slipway/forge';

export const definitionFile = 'slipway.yaml';

export type Definition = { ok: true; app: App } | { ok: false; reason: string };

/**
 * Reads and validates `slipway.yaml` of one commit.
 *
 * @returns the definition, or every problem in one text with file, line and column, ready to be shown to the person who pushed.
 */
export async function readDefinition(forge: Forge, app: string, sha: string): Promise<Definition> {
  const text = await forge.readFile(app, sha, definitionFile).catch((error: unknown) => {
    // Too large to be read: that is about this commit, and must not hold up those after it.
    if (error instanceof SlipwayError && error.kind === 'mistake') return error;
    throw error;
  });
  if (text instanceof SlipwayError) return { ok: false, reason: [text.message, text.hint].filter(Boolean).join(' ') };
  if (text === null)
    return {
      ok: false,
      reason: `${definitionFile} is missing at the top of the repository. Make one with: slipway init`,
    };
  const parsed = parseApp(text);
  if (!parsed.ok) return { ok: false, reason: listProblems(parsed.problems) };
  if (parsed.app.app !== app)
    return {
      ok: false,
      reason: `${definitionFile} says "app: ${parsed.app.app}", but was pushed to ${app}.git. Change one of the two so that they agree.`,
    };
  return { ok: true, app: parsed.app };
}

/**
 * The config of one environment at one commit: `config:` of the definition with the environment's file on top.
 *
 * @returns the merged variables, or the reason why they can't be made.
 */
export async function readConfig(
  forge: Forge,
  definition: App,
  sha: string,
  environment: { name: string; policy: EnvironmentPolicy },
): Promise<{ ok: true; config: Record<string, string> } | { ok: false; reason: string }> {
  const layers: Record<string, string>[] = [];
  for (const file of configPaths(environment.name, environment.policy.source)) {
    const text = await forge.readFile(definition.app, sha, file);
    if (text === null) continue;
    const parsed = parseConfig(text, { file, app: definition });
    if (!parsed.ok) return { ok: false, reason: listProblems(parsed.problems) };
    layers.push(parsed.values);
  }
  return { ok: true, config: resolveConfig(definition, layers) };
}

function listProblems(problems: readonly Problem[]): string {
  return problems.map((problem) => formatProblem(problem)).join('\n');
}
