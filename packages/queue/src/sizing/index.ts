export { decideSizes } from './decide-sizes.ts';
export type { SizeDecision, StabilityRule } from './decide-sizes.ts';
export type { AttemptSample, LaneSize, LaneSizes } from './measure-tasks.ts';
export { proposeSizes } from './propose-sizes.ts';
export type { NotYet, SizeProposal } from './proposal.ts';
export type { SizingOptions } from './propose-sizes.ts';
export { sizeText } from './reading.ts';
export { readSamples } from './read-samples.ts';
export type { Samples } from './read-samples.ts';
