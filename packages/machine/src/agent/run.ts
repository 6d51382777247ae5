import type { AgentOptions } from './agent.ts';

/**
 * Runs an agent until SIGTERM or SIGINT (apps keep running for the next agent), or until somebody asks it to shut down (apps are stopped).
 *
 * @throws {SlipwayError} as `Agent.start`.
 */
export async function runAgent(options: AgentOptions): Promise<void> {
  // Whoever imports this package's face to talk to an agent does not pay for the agent itself.
  const { Agent } = await import('./agent.ts');
  const agent = new Agent(options);
  const leave = (): void => void agent.stop('leave');
  process.on('SIGTERM', leave);
  process.on('SIGINT', leave);
  try {
    await agent.start();
    // Nothing else keeps the process alive when no app runs and the sockets are idle.
    const alive = setInterval(() => undefined, 2 ** 30);
    await agent.ended;
    clearInterval(alive);
  } finally {
    process.off('SIGTERM', leave);
    process.off('SIGINT', leave);
  }
}
