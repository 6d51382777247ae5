/**
 * Reads JSON that Slipway itself wrote: an answer of the control plane, a file of the home. Its form is not checked again,
 * so that thin commands need no schemas.
 *
 * @throws {SyntaxError} when it is not JSON.
 */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller knows what was written
export function trustedJson<T>(text: string): T {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see above
  return JSON.parse(text) as T;
}
