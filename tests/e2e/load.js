// Sends RATE requests a second for DURATION to BASE_URL, one in ten of them a post by USER, and tells what became of them.
// Good is: none failed. Nothing is tried again, unless RETRY is set: then a request that got no answer is sent once more,
// as a client would that wants to survive a server that dies.
import http from 'k6/http';
import { Counter } from 'k6/metrics';

const { BASE_URL, RATE = '1000', DURATION = '30s', USER = 'load', RETRY = '' } = __ENV;

const failed = new Counter('failed');
const acknowledged = new Counter('acknowledged');

export const options = {
  scenarios: {
    mixed: {
      executor: 'constant-arrival-rate',
      rate: Number(RATE),
      timeUnit: '1s',
      duration: DURATION,
      // Enough for a second in which nothing is answered.
      preAllocatedVUs: Number(RATE),
      maxVUs: 2 * Number(RATE),
    },
  },
  thresholds: { failed: ['count==0'] },
  summaryTrendStats: ['med', 'p(99)', 'max'],
};

function send(method, path, body) {
  const params = { headers: { 'Content-Type': 'application/json' }, tags: { name: path }, timeout: '10s' };
  // Only who sends a key may send a post twice.
  if (RETRY) params.headers['Idempotency-Key'] = `${__VU}-${__ITER}`;
  const response = http.request(method, BASE_URL + path, body, params);
  return RETRY && response.status === 0 ? http.request(method, BASE_URL + path, body, params) : response;
}

export default function () {
  if (__ITER % 10 === 0) {
    const response = send('POST', '/message', JSON.stringify({ user: USER, text: `${__VU}-${__ITER}` }));
    if (response.status === 201) acknowledged.add(1);
    else fail(response);
  } else {
    const response = send('GET', '/messages', null);
    if (response.status !== 200) fail(response);
  }
}

function fail(response) {
  failed.add(1);
  console.error(`${response.request.method} ${response.status} ${response.error} ${response.body || ''}`);
}

export function handleSummary({ metrics }) {
  const count = (name) => (metrics[name] ? metrics[name].values.count : 0);
  const duration = metrics.http_req_duration.values;
  const line = {
    requests: count('iterations'),
    failed: count('failed'),
    dropped: count('dropped_iterations'),
    acknowledged: count('acknowledged'),
    p99_ms: Math.round(duration['p(99)']),
    max_ms: Math.round(duration.max),
  };
  return { stdout: `RESULT ${JSON.stringify(line)}\n` };
}
