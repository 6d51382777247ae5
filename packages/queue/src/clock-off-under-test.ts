/** Imported first by a process, it sets its clock an hour ahead: `node --import clock-off-under-test.ts ...`. */

const AHEAD_MS = 3_600_000;
const real = Date;

globalThis.Date = new Proxy(real, {
  construct: (target, given: [] | [number]) =>
    given.length === 0 ? new target(real.now() + AHEAD_MS) : new target(...given),
  get: (target, name) => (name === 'now' ? () => real.now() + AHEAD_MS : Reflect.get(target, name)),
});
