// The router of the machine engine in a process of its own, as the agent runs it, in front of one backend.
import { Router } from '@slipway/machine/router';

const [port, backendPort] = process.argv.slice(2).map(Number);
if (port === undefined || backendPort === undefined) throw new Error('usage: router.ts PORT BACKEND-PORT');
const router = new Router({ port, events: { wake: () => Promise.reject(new Error('nothing sleeps here')) } });
router.set('bench/production', {
  hosts: ['127.0.0.1'],
  answer: 'forward',
  explanation: null,
  releases: [
    { number: 1, weight: 100, services: [{ name: 'web', route: '/', backends: [{ id: 'web-1', port: backendPort }] }] },
  ],
});
await router.start();
process.on('SIGTERM', () => void router.stop());
