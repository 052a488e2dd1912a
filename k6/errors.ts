// Is each error that a client can cause the documented one (docs/errors.md), even while other requests are served?
// Pass: status, code, `error: true`, media type and trace id of every response are right; other requests are unaffected.
import { check } from 'k6';
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';
import * as chat from './lib/client.ts';
import { STATUS, type Code } from './lib/codes.ts';
import { iteration } from './lib/measures.ts';
import { objectives } from './lib/objectives.ts';
import { optionsFor } from './lib/options.ts';
import { duration, rate, USER } from './lib/settings.ts';
import { line, summary } from './lib/summary.ts';
import { constant, everyday } from './lib/workloads.ts';
import type { Problem } from './types/api.ts';

export { setup } from './lib/start.ts';
const TYPE = { 'Content-Type': 'application/json' };

// What each code comes from. The rest cannot be had from here: k6 cannot send half a body (request_timeout) or a request that
// is not HTTP (malformed_request), of a head that is too large the server does not know the trace (head_too_large), and the
// others are the server's own troubles; `overloaded` is in too-many-clients.
const CAUSES: Partial<Record<Code, (expected: number[]) => chat.Answer<unknown>>> = {
  malformed_json: (expected) => post('{"user": "bob",', { headers: TYPE, expected }),
  invalid_parameter: (expected) => get('/messages?limit=0', { expected }),
  invalid_idempotency_key: (expected) => chat.postMessage({ user: USER, text: '' }, 'k'.repeat(256), { expected }),
  route_not_found: (expected) => get('/nothing', { expected }),
  message_not_found: (expected) => chat.getMessage(0, { expected }),
  method_not_allowed: (expected) => chat.call('DELETE', '/messages', '/messages', null, { expected }),
  not_acceptable: (expected) => get('/messages', { headers: { Accept: 'text/html' }, expected }),
  body_too_large: (expected) => post(' '.repeat(1048577), { headers: TYPE, expected }),
  unsupported_media_type: (expected) => post('hello', { headers: { 'Content-Type': 'text/plain' }, expected }),
  user_missing: (expected) => wrong({ text: 'hi' }, expected),
  user_empty: (expected) => wrong({ user: ' ', text: 'hi' }, expected),
  user_too_long: (expected) => wrong({ user: 'u'.repeat(101), text: 'hi' }, expected),
  user_invalid: (expected) => wrong({ user: 'bob\nby', text: 'hi' }, expected),
  text_missing: (expected) => wrong({ user: USER }, expected),
  text_too_long: (expected) => wrong({ user: USER, text: 'x'.repeat(65536) }, expected),
  text_invalid: (expected) => wrong({ user: USER, text: 5 }, expected),
  idempotency_key_reused: (expected) => {
    chat.postMessage({ user: USER, text: 'one' }, 'k6/errors');
    return chat.postMessage({ user: USER, text: 'another' }, 'k6/errors', { expected });
  },
};
const codes = Object.keys(CAUSES) as Code[];
const tried = new Counter('tried');

const perSecond = rate(50);
const scenarios = {
  everyday: constant(perSecond, duration('1m'), { exec: 'others' }),
  errors: constant(perSecond, duration('1m')),
};
const each = Object.fromEntries(codes.map((code) => [`tried{code:${code}}`, ['count>0']]));
export const options = optionsFor(scenarios, {
  ...objectives('everyday'),
  ...objectives(),
  ...each,
  checks: ['rate==1'],
});

export const handleSummary = summary('errors', (_, report) => {
  // Seventeen times the same is one line; each that was missed is still named.
  const missed = codes.filter((code) => !report.thresholds[`tried{code:${code}} count>0`]);
  const kept = Object.entries(report.thresholds).filter(([name, ok]) => !ok || !name.startsWith('tried'));
  report.thresholds = Object.fromEntries(kept);
  return [line('rows of errors.md', `${codes.length - missed.length} of ${codes.length} tried`), ''];
});

export const others = iteration(everyday);

export default iteration(() => {
  const code = codes[exec.scenario.iterationInTest % codes.length];
  const status = STATUS[code];
  const answer = CAUSES[code]!([status]);
  tried.add(1, { code });
  const problem = (answer.text.startsWith('{') ? answer.json() : {}) as Partial<Problem>;
  const good = check(answer, {
    'the status is the documented one': (it) => it.status === status && problem.status === status,
    'the code is the documented one': () => problem.code === code,
    'error is true': () => problem.error === true,
    'it is a problem document': (it) => it.headers['Content-Type'] === 'application/problem+json',
    'the trace id is the one that was sent': (it) => problem.trace_id === it.traceId,
  });
  if (!good) console.error(`${code}: ${answer.status} ${answer.error} ${answer.text.slice(0, 300)}`);
});

const get = (path: string, extra: chat.Extra) =>
  chat.call('GET', path === '/nothing' ? 'none' : '/messages', path, null, extra);
const post = (body: string, extra: chat.Extra) => chat.call('POST', '/message', '/message', body, extra);
const wrong = (body: object, expected: number[]) => post(JSON.stringify(body), { headers: TYPE, expected });
