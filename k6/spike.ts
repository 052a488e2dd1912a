// What happens when the load suddenly multiplies, and then drops again?
// Pass: no request fails, the objectives hold during the spike, and afterwards everything is as before.
import { iteration } from './lib/measures.ts';
import { objectives, of } from './lib/objectives.ts';
import { optionsFor } from './lib/options.ts';
import { times } from './lib/report.ts';
import { duration, number, rate, seconds } from './lib/settings.ts';
import { line, ms, summary } from './lib/summary.ts';
import { constant, everyday } from './lib/workloads.ts';

export { setup } from './lib/start.ts';
const usual = rate(50);
const third = seconds(duration('60s')) / 3;
const phases = { before: usual, spike: usual * number('TIMES', 10), after: usual };
const scenarios = Object.entries(phases).map(([phase, rate], index) => {
  return [phase, constant(rate, `${third}s`, { startTime: `${index * third}s` })] as const;
});
const held = Object.assign({}, ...Object.keys(phases).map((phase) => objectives(phase)));
export const options = optionsFor(Object.fromEntries(scenarios), held);

export const handleSummary = summary('spike', (data) =>
  Object.entries(phases).map(([phase, rate]) => {
    const { p50, p99 } = times(data.metrics[of('http_req_duration{expected_response:true}', phase)]);
    return line(phase, `${rate} a second: p50 ${ms(p50)}, p99 ${ms(p99)}`);
  }),
);

export default iteration(everyday);
