import { engineConformance } from '@slipway/engine/conformance';
import { engineUnderTest } from './engine-under-test.ts';

engineConformance('kubernetes', engineUnderTest);
