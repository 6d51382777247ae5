/** The `code` of an error from Node.js (`ENOENT`) or PostgreSQL (`28P01`); empty when it has none. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
