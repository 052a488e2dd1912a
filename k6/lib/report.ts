// A run as data: what summary.json holds.
import { between, type Seen } from './server.ts';
import { BASE_URLS } from './settings.ts';
import type { Start } from './start.ts';
import { unpack } from './trace.ts';

interface Metric {
  values: Record<string, number>;
  thresholds?: Record<string, { ok: boolean }>;
}

// What k6 gives to handleSummary.
export interface Data {
  metrics: Record<string, Metric>;
  setup_data?: Start;
}

export type Report = ReturnType<typeof report>;

export function report(script: string, data: Data, ended: number, after: Seen[]) {
  const { metrics } = data;
  const count = (metric: string) => metrics[metric]?.values.count ?? 0;
  const start = data.setup_data!;
  // Since the end of setup; to k6 the time that it waited there for the server belongs to the run.
  const seconds = (ended - Date.parse(start.at)) / 1000;
  // The requests of setup are in http_reqs, but not in this.
  const requests = count('apdex');
  const errors = {
    client: count('errors{kind:client}'),
    server: count('errors{kind:server}'),
    unanswered: count('errors{kind:unanswered}'),
    by_code: tagged(metrics, 'errors', 'code'),
  };
  const thresholds = verdicts(metrics);
  return {
    script,
    base_urls: BASE_URLS,
    started_at: start.at,
    seconds,
    passed: Object.values(thresholds).every((ok) => ok),
    thresholds,
    requests,
    requests_per_second: requests / seconds,
    dropped: count('dropped_iterations'),
    // Where a script has an opinion of its own what these are, it counts them.
    failed: metrics['failed'] ? count('failed') : errors.client + errors.server + errors.unanswered,
    acknowledged: count('acknowledged'),
    response_ms: times(metrics['http_req_duration']),
    errors,
    availability: requests ? 1 - (errors.server + errors.unanswered) / requests : null,
    apdex: requests ? metrics['apdex'].values.avg : null,
    slowest: metrics['slowest_request'] ? unpack(metrics['slowest_request'].values.max) : null,
    servers: after.map((seen, index) => between(start.servers[index], seen)),
    // Everything that k6 counted, as it calls it.
    metrics,
  };
}

export function times(metric?: Metric) {
  const { avg, med, max, 'p(95)': p95, 'p(99)': p99 } = metric?.values ?? {};
  return { mean: avg, p50: med, p95, p99, max };
}

// The parts of a counter by the values of a tag, without those that are zero.
function tagged(metrics: Record<string, Metric>, name: string, tag: string): Record<string, number> {
  const start = `${name}{${tag}:`;
  const found = Object.entries(metrics).filter(([metric, { values }]) => metric.startsWith(start) && values.count > 0);
  return Object.fromEntries(found.map(([metric, { values }]) => [metric.slice(start.length, -1), values.count]));
}

function verdicts(metrics: Record<string, Metric>): Record<string, boolean> {
  const all = Object.entries(metrics).flatMap(([metric, { thresholds = {} }]) =>
    Object.entries(thresholds).map(([limit, { ok }]) => [`${metric} ${limit}`, ok] as const),
  );
  return Object.fromEntries(all.sort());
}
