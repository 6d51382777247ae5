import type { Observation } from '@slipway/engine';
import type { ApiClient } from '../api/client.ts';
import type { ClusterView } from '../observe/cluster-view.ts';
import type { RenderEnvironment } from './decision.ts';
import type { Entrance } from './entrance.ts';
import type { RecordStore } from './record.ts';

/** What all environments of an engine share. */
export interface Surroundings {
  api: ApiClient;
  view: ClusterView;
  records: RecordStore;
  entrance: Entrance;
  render: (environment: string) => Omit<RenderEnvironment, 'probe'>;
  /** Keeps others from deleting protected environments; once for all of them. */
  protect: () => Promise<void>;
  publish: (observation: Observation) => void;
  now: () => number;
}
