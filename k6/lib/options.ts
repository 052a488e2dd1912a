// What all scripts have in common in their options.
import type { Options, Scenario } from 'k6/options';
import { parts } from './measures.ts';
import { WAIT_SECONDS } from './settings.ts';

type Thresholds = NonNullable<Options['thresholds']>;

export function optionsFor(scenarios: Record<string, Scenario>, thresholds: Thresholds, more: Options = {}): Options {
  return {
    scenarios,
    thresholds: { ...parts(), script_faults: ['count==0'], ...thresholds },
    summaryTrendStats: ['avg', 'min', 'med', 'p(90)', 'p(95)', 'p(99)', 'max', 'count'],
    setupTimeout: `${WAIT_SECONDS + 60}s`,
    ...more,
  };
}
