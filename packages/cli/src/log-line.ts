/** Writes one line of a long-running process to its log, which is its stderr. */
export function logLine(message: string): void {
  process.stderr.write(`${new Date().toISOString()} ${message}\n`);
}
