import { expect, test } from 'vitest';
import { readDeclaration } from './own-cluster.ts';

test('what a chart has no value for is left out', () => {
  const declared = readDeclaration(
    JSON.stringify({
      name: 'local',
      settings: {
        gateway: null,
        ingress: { namespace: 'kube-system', name: 'traefik' },
        domain: 'example.com',
        pullSecret: '',
      },
    }),
  );
  expect(declared).toMatchObject({
    name: 'local',
    settings: {
      ingress: { namespace: 'kube-system', name: 'traefik' },
      domain: 'example.com',
      port: 80,
      controlPlaneUrl: null,
      namespace: 'slipway',
      reach: [],
      pullSecret: null,
    },
  });
});

test.each([
  ['no JSON', '{', 'is no JSON'],
  ['no name', '{"settings":{}}', 'name'],
  ['a misspelt setting', '{"name":"local","settings":{"gatway":null,"domian":"x"}}', 'domian'],
])('%s is a mistake', (_, text, message) => {
  expect(() => readDeclaration(text)).toThrow(message);
});
