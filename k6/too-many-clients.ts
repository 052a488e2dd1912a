// What happens when there are far more clients than the server accepts (its setting MAX_CONNECTIONS)?
// Pass: connected clients are served as before, and all others get 503 overloaded and Retry-After.
import { check } from 'k6';
import { Counter } from 'k6/metrics';
import * as chat from './lib/client.ts';
import { iteration } from './lib/measures.ts';
import { objectives } from './lib/objectives.ts';
import { optionsFor } from './lib/options.ts';
import { duration, number, rate, seconds } from './lib/settings.ts';
import { line, summary } from './lib/summary.ts';
import { constant, everyday } from './lib/workloads.ts';

export { setup } from './lib/start.ts';
// All of them, four times as many as `k6/local` lets the server take; each has one connection. A tenth comes first, and
// has three seconds to get in.
const everybody = number('CLIENTS', 200);
const inside = Math.max(1, Math.floor(everybody / 10));
const HEAD_START = 3;
const lasting = seconds(duration('30s'));
// Each about once a second, so that there is a second for each answer.
const perSecond = rate(inside);

const refused = new Counter('refused');
const scenarios = {
  inside: constant(perSecond, `${lasting + HEAD_START}s`, { preAllocatedVUs: inside, maxVUs: inside }),
  // Each comes about once a second. k6 takes turns, so all of them come.
  crowd: constant(everybody, `${lasting}s`, {
    startTime: `${HEAD_START}s`,
    exec: 'come',
    preAllocatedVUs: everybody,
    maxVUs: everybody,
  }),
};
export const options = optionsFor(scenarios, {
  ...objectives('inside'),
  checks: ['rate==1'],
  // Without any it was not too many: the limit is higher than CLIENTS, and nothing was tried.
  refused: ['count>0'],
  // No reset, no end of a connection without an answer.
  'errors{kind:unanswered}': ['count==0'],
  'http_req_duration{scenario:crowd}': ['p(99)<=2000'],
});

export const handleSummary = summary('too-many-clients', ({ metrics }) => {
  const count = metrics['refused']?.values.count ?? 0;
  return [line('told to come again', count ? `${count} times` : `none: is MAX_CONNECTIONS below ${everybody}?`), ''];
});

export default iteration(everyday);

export const come = iteration(() => {
  const answer = chat.listMessages({ limit: 1 }, { expected: [200, 503] });
  if (answer.status === 503) refused.add(1);
  const good = check(answer, {
    'is served or told that there are too many': (it) => {
      return it.status === 200 || (it.status === 503 && it.text.includes('"code":"overloaded"'));
    },
    'and when to come again': (it) => it.status !== 503 || Number(it.headers['Retry-After']) > 0,
  });
  if (!good) console.error(`${answer.status} ${answer.error} ${answer.text.slice(0, 200)}`);
});
