export { runCommandCheck } from './command-check.ts';
export type { CheckOutcome, CommandCheck } from './command-check.ts';
