import { describe, expect, test } from 'vitest';
import { configPaths, formatProblem, parseApp, parseConfig, resolveConfig } from './index.ts';
import type { App } from './index.ts';

function app(): App {
  const parsed = parseApp('app: ab\nservices: { w: { run: x } }\nconfig: { LOG_LEVEL: info, N: 1 }\nsecrets: [KEY]');
  if (!parsed.ok) throw new Error('the fixture is valid');
  return parsed.app;
}

function problems(text: string): string[] {
  const parsed = parseConfig(text, { file: 'config/staging.yaml', app: app() });
  return parsed.ok ? [] : parsed.problems.map(formatProblem);
}

describe('config/<environment>.yaml', () => {
  test('values keep their written form, an empty file has none', () => {
    const parsed = parseConfig('LOG_LEVEL: debug\nN: 1.0', { file: 'c', app: app() });
    expect(parsed).toEqual({ ok: true, values: { LOG_LEVEL: 'debug', N: '1.0' } });
    expect(parseConfig('# nothing yet\n', { file: 'c' })).toEqual({ ok: true, values: {} });
  });

  test('each mistake has its place', () => {
    expect(problems('LOG_LEVLE: debug\nKEY: x\nN: [1]\nPORT: 1')).toEqual([
      'config/staging.yaml:1:1 LOG_LEVLE: unknown key "LOG_LEVLE", expected one of "LOG_LEVEL", "N"; did you mean "LOG_LEVEL"? Otherwise add it to config: in slipway.yaml',
      'config/staging.yaml:2:1 KEY: "KEY" is one of secrets, expected its value encrypted in secrets/<environment>.yaml, not here',
      'config/staging.yaml:3:4 N: found a list, expected text or a number',
      'config/staging.yaml:4:1 PORT: "PORT" is reserved: Slipway sets it for every process, leave it out here',
    ]);
    expect(problems('- a')[0]).toContain('found a list, expected a mapping');
    expect(problems('N: 1\nN: 2')[0]).toMatch(/^config\/staging\.yaml:2:1 .*given twice/);
  });
});

test('layers apply in order, and only to declared keys', () => {
  expect(resolveConfig(app(), [{ N: '2' }, { N: '3', LOG_LEVEL: 'debug' }])).toEqual({ LOG_LEVEL: 'debug', N: '3' });
  expect(resolveConfig(app(), [])).toEqual({ LOG_LEVEL: 'info', N: '1' });
  expect(() => resolveConfig(app(), [{ LOG: 'x' }])).toThrow('unknown key "LOG"');
});

test('previews inherit from config/preview.yaml, and a name never leaves the folder', () => {
  expect(configPaths('staging', 'branch')).toEqual(['config/staging.yaml']);
  expect(configPaths('pr-12', 'pull-requests')).toEqual(['config/preview.yaml', 'config/pr-12.yaml']);
  expect(configPaths('preview', 'pull-requests')).toEqual(['config/preview.yaml']);
  expect(() => configPaths('../secrets/x', 'branch')).toThrow('expected a name of lower-case letters');
});
