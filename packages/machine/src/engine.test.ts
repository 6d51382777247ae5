import { engineConformance } from '@slipway/engine/conformance';
import { agentUnderTest } from './agent/agent-under-test.ts';

engineConformance('machine', async () => await agentUnderTest());
