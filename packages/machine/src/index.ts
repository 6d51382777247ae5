export { createMachineEngine } from './engine.ts';
export type { MachineEngine, MachineEngineOptions } from './engine.ts';
export { runAgent } from './agent/run.ts';
export type { Agent, AgentOptions, StopMode } from './agent/agent.ts';
export type { AgentHealth } from './agent/server.ts';
