// What is the highest rate at which the objectives hold?
// Pass: a rate well above that of the busiest day. The summary names it, and the first objective missed at the next rate.
import exec from 'k6/execution';
import type { Scenario, Threshold } from 'k6/options';
import { iteration } from './lib/measures.ts';
import { APDEX, objectives, of } from './lib/objectives.ts';
import { optionsFor } from './lib/options.ts';
import { times, type Data } from './lib/report.ts';
import { duration, number, rate, seconds } from './lib/settings.ts';
import { line, ms, summary } from './lib/summary.ts';
import { constant, everyday } from './lib/workloads.ts';

export { setup } from './lib/start.ts';
// Each step lasts for DURATION and is a scenario of its own, so that it is judged by itself: in one long ramp the good
// beginning would hide the bad end for a while.
const first = rate(200);
const step = Math.max(1, number('STEP', 200));
const last = number('MAX_RATE', 4000);
const each = seconds(duration('20s'));
const rates = Array.from(
  { length: Math.max(1, Math.floor((last - first) / step) + 1) },
  (_, index) => first + index * step,
);
const nameOf = (perSecond: number) => `rate_${perSecond}`;
// More clients connect at the beginning of a step; its first quarter, 5 s at most, is not judged.
const settling = Math.min(5, each / 4);
const SETTLED = ',settled:yes';
const judgedBy = (name: string) => {
  const { dropped_iterations, ...limits } = objectives();
  const settled = Object.entries(limits).map(([metric, limit]) => [of(metric, name + SETTLED), limit]);
  return { ...Object.fromEntries(settled), [of('dropped_iterations', name)]: dropped_iterations };
};

const scenarios: Record<string, Scenario> = {};
const thresholds: Record<string, Threshold[]> = {};
rates.forEach((perSecond, index) => {
  const name = nameOf(perSecond);
  scenarios[name] = constant(perSecond, `${each}s`, { startTime: `${index * each}s`, gracefulStop: '2s' });
  Object.assign(thresholds, judgedBy(name), { [of('http_reqs', name)]: [] });
  // Ends the run only when it is plain: one hiccup at the beginning of a step may still be made up for.
  const broken = (metric: string, limit: string) => {
    thresholds[metric] = [...thresholds[metric], { threshold: limit, abortOnFail: true }];
  };
  broken(of('http_req_duration{expected_response:true}', name + SETTLED), `p(90)<=${APDEX.satisfied_ms}`);
  broken(of('http_req_failed', name + SETTLED), 'rate<=0.05');
  broken(of('dropped_iterations', name), `count<=${Math.ceil(perSecond * each * 0.05)}`);
});
export const options = optionsFor(scenarios, thresholds);

export const handleSummary = summary('breakpoint', (data, report) => {
  const steps = rates.map((perSecond) => judged(data, report.seconds, perSecond)).filter((it) => it.requests > 0);
  const failing = steps.findIndex((it) => !it.held);
  const highest = (failing < 0 ? steps : steps.slice(0, failing)).at(-1)?.rate ?? null;
  // That it broke in the end is no failure; that it did at once is one. The limits of all steps are in the JSON.
  const faults = data.metrics['script_faults']?.values.count ?? 0;
  Object.assign(report, { passed: highest !== null && !faults, thresholds: {}, steps, highest_rate: highest });
  const answer = highest === null ? `none: not even ${first} a second` : `${highest} requests a second`;
  const open = failing < 0 ? ', and it did not break: raise MAX_RATE' : '';
  return [...steps.map(described), line('highest rate', answer + open), ''];
});

function judged({ metrics }: Data, ran: number, perSecond: number) {
  const name = nameOf(perSecond);
  const failed = Object.keys(judgedBy(name)).flatMap((metric) =>
    Object.entries(metrics[metric]?.thresholds ?? {}).flatMap(([limit, { ok }]) =>
      ok ? [] : [`${metric.split('{')[0]} ${limit}`],
    ),
  );
  // A step that was cut off by the end of the run has shown nothing.
  const whole = ran >= (rates.indexOf(perSecond) + 1) * each;
  return {
    rate: perSecond,
    held: whole && failed.length === 0,
    requests: metrics[of('http_reqs', name)]?.values.count ?? 0,
    dropped: metrics[of('dropped_iterations', name)]?.values.count ?? 0,
    response_ms: times(metrics[of('http_req_duration{expected_response:true}', name + SETTLED)]),
    apdex: metrics[of('apdex', name + SETTLED)]?.values.avg,
    failed,
  };
}

function described(it: ReturnType<typeof judged>): string {
  const { p50, p99 } = it.response_ms;
  const trouble = it.failed.length ? `✗ ${it.failed.join(', ')}` : it.held ? '✓' : '✗ cut off';
  return line(`${it.rate} a second`, `p50 ${ms(p50)}, p99 ${ms(p99)}, ${it.dropped} dropped ${trouble}`);
}

export default iteration(() => {
  exec.vu.metrics.tags['settled'] = Date.now() - exec.scenario.startTime < 1000 * settling ? 'no' : 'yes';
  everyday();
});
