// Does anything degrade over time: do responses get slower, does the server's memory grow?
// Pass: p99 holds in each quarter of the run (the summary compares them), and memory did not grow.
import exec from 'k6/execution';
import { Gauge } from 'k6/metrics';
import { iteration } from './lib/measures.ts';
import { objectives } from './lib/objectives.ts';
import { optionsFor } from './lib/options.ts';
import { times } from './lib/report.ts';
import { look } from './lib/server.ts';
import { duration, number, rate, seconds } from './lib/settings.ts';
import { line, ms, summary } from './lib/summary.ts';
import { constant, everyday } from './lib/workloads.ts';

export { setup } from './lib/start.ts';
const lasting = duration('30m');
const QUARTERS = [1, 2, 3, 4];
// How often the server is asked how it is: a hundred times a run. It counts each 5 s.
const pause = Math.max(1, Math.round(seconds(lasting) / 100));
const watching = {
  executor: 'constant-arrival-rate',
  rate: 1,
  timeUnit: `${pause}s`,
  duration: lasting,
} as const;
const scenarios = {
  soak: constant(rate(50), lasting),
  watch: { ...watching, preAllocatedVUs: 1, exec: 'watch' },
};
const response = (quarter: number) => `http_req_duration{expected_response:true,quarter:${quarter}}`;
const limits = objectives();
const steady = QUARTERS.map((quarter) => [response(quarter), limits['http_req_duration{expected_response:true}']]);
// The share by which memory grew over the run, by a straight line through what was seen after the first quarter, in which
// buffers and pools are filled.
const most = `value<=${number('MEMORY_GROWTH', 0.1)}`;
export const options = optionsFor(scenarios, {
  ...limits,
  ...Object.fromEntries(steady),
  server_memory_growth: [most],
  // Memory that was not measured does not count as stable.
  server_memory_bytes: ['value>0'],
});

export const handleSummary = summary('soak', (data) => {
  const growth = data.metrics['server_memory_growth']?.values.value;
  const quarters = QUARTERS.map((quarter) => {
    const { p50, p99 } = times(data.metrics[response(quarter)]);
    return line(`quarter ${quarter}`, `p50 ${ms(p50)}, p99 ${ms(p99)}`);
  });
  const grown = growth === undefined ? 'not known' : `grew by ${(100 * growth).toFixed(1)} %`;
  return [...quarters, line('memory', grown), ''];
});

export default iteration(() => {
  exec.vu.metrics.tags['quarter'] = Math.min(4, Math.floor(exec.scenario.progress * 4) + 1);
  everyday();
});

const memory = new Gauge('server_memory_bytes');
const growth = new Gauge('server_memory_growth');
const points: { at: number; bytes: number }[] = [];

export const watch = iteration(() => {
  for (const { url, stats } of look()) {
    if (!stats) continue;
    memory.add(stats.memory_bytes, { server: url });
    if (exec.scenario.progress >= 0.25) points.push({ at: exec.scenario.progress, bytes: stats.memory_bytes });
  }
  if (points.length >= 3) growth.add(slope() / mean((it) => it.bytes));
});

// Least squares.
function slope(): number {
  const [at, bytes] = [mean((it) => it.at), mean((it) => it.bytes)];
  const both = points.reduce((sum, it) => sum + (it.at - at) * (it.bytes - bytes), 0);
  return both / points.reduce((sum, it) => sum + (it.at - at) ** 2, 0);
}

function mean(of: (point: { at: number; bytes: number }) => number): number {
  return points.reduce((sum, it) => sum + of(it), 0) / points.length;
}
