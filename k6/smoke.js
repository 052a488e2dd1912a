// A few people post and read for half a minute: does it work, and within the objectives?
import http from 'k6/http';
import { check } from 'k6';
import { Trend } from 'k6/metrics';

const BASE_URL = __ENV.BASE_URL || 'http://localhost:8081';
const objectives = JSON.parse(open('../deploy/observability/k6/thresholds.json'));
const apdex = new Trend('apdex');

export const options = {
  vus: 5,
  duration: '30s',
  thresholds: { ...objectives.thresholds, checks: ['rate==1'] },
};

// Faster than the objective for tolerable counts half, slower not at all.
function satisfaction(response) {
  const { satisfied_ms, tolerating_ms } = objectives.apdex;
  if (response.status === 0 || response.status >= 500) return 0;
  if (response.timings.duration <= satisfied_ms) return 1;
  return response.timings.duration <= tolerating_ms ? 0.5 : 0;
}

function seen(response, name, status) {
  check(response, { [name]: (it) => it.status === status });
  apdex.add(satisfaction(response));
}

export default function () {
  const message = JSON.stringify({ user: `k6-${__VU}`, text: `number ${__ITER}` });
  const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': `${__VU}-${__ITER}-${Date.now()}` };
  seen(http.post(`${BASE_URL}/message`, message, { headers }), 'posted', 201);
  seen(http.get(`${BASE_URL}/messages`), 'read the messages', 200);
  seen(http.get(`${BASE_URL}/users`), 'read the users', 200);
  const responseCallback = http.expectedStatuses(422);
  const nobody = http.post(`${BASE_URL}/message`, '{}', { headers, responseCallback });
  seen(nobody, 'refused a message of nobody', 422);
}
