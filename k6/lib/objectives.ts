// The objectives as k6 takes them. Their numbers are those of deploy/observability/objectives.json.
import type { Options } from 'k6/options';

type Thresholds = NonNullable<Options['thresholds']>;

const file = JSON.parse(open(import.meta.resolve('./thresholds.json'))) as {
  apdex: { satisfied_ms: number; tolerating_ms: number };
  thresholds: Record<string, string[]>;
};

export const APDEX = file.apdex;

// Without a scenario, of the whole run. Iterations that k6 could not begin in time would have been the slow ones, so a run
// that dropped some says nothing.
export function objectives(scenario?: string): Thresholds {
  const all = { ...file.thresholds, dropped_iterations: ['count==0'] };
  if (!scenario) return all;
  return Object.fromEntries(Object.entries(all).map(([metric, limits]) => [of(metric, scenario), limits]));
}

// of('apdex', 'spike') is apdex{scenario:spike}.
export function of(metric: string, scenario: string): string {
  return metric.endsWith('}') ? `${metric.slice(0, -1)},scenario:${scenario}}` : `${metric}{scenario:${scenario}}`;
}
