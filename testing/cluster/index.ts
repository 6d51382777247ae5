export { Api, ApiError } from './api.ts';
export { givenCluster } from './given-cluster.ts';
export type { GivenCluster } from './given-cluster.ts';
export { withLibraries } from './image.ts';
export type { ImageOptions } from './image.ts';
export type { PushedImage } from './push-image.ts';
export { nodeImage } from './images.ts';
export { testNamespace } from './namespace.ts';
