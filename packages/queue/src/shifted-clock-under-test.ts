/** Loaded before a program (`--import`), it sets that program's clock an hour ahead. */
const SHIFT_MS = 3_600_000;
const RealDate = Date;
const realNow = Date.now.bind(Date);
globalThis.Date = new Proxy(RealDate, {
  construct: (target, args: [] | [number]) => new target(args[0] ?? realNow() + SHIFT_MS),
  get: (target, name): unknown => (name === 'now' ? () => realNow() + SHIFT_MS : Reflect.get(target, name)),
});
