// Posts and reads at a fixed rate, held to the objectives (thresholds.json is made from them). The rate is kept up
// however slow the answers are; with a fixed number of clients a slow server would be asked less and look better.
import { check, fail, sleep } from "k6";
import http from "k6/http";
import { Trend } from "k6/metrics";

const objectives = JSON.parse(open("./thresholds.json"));
const apdex = new Trend("apdex");
const chat = __ENV.CHAT_URL;
const json = { "Content-Type": "application/json" };

export const options = {
  scenarios: {
    load: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE),
      duration: __ENV.DURATION,
      preAllocatedVUs: Math.min(50, Number(__ENV.MAX_VUS)),
      maxVUs: Number(__ENV.MAX_VUS),
    },
  },
  thresholds: { ...objectives.thresholds, checks: ["rate>=0.999"], dropped_iterations: ["count==0"] },
  setupTimeout: "10m",
};

// The release is still being installed, perhaps with its database. What is asked meanwhile counts nowhere.
export function setup() {
  for (let tries = 0; tries < 290; tries++) {
    const answer = http.get(`${__ENV.OPERATIONS_URL}/readyz`, { responseCallback: null, timeout: "2s" });
    if (answer.status === 200) return;
    sleep(2);
  }
  fail("The server was not ready within ten minutes");
}

export default function () {
  const answer = Math.random() * 100 < Number(__ENV.POSTS_PERCENT) ? post() : read();
  const { satisfied_ms, tolerating_ms } = objectives.apdex;
  const { duration } = answer.timings;
  const good = check(answer, { "is answered": () => answer.status === 200 || answer.status === 201 });
  apdex.add(!good || duration > tolerating_ms ? 0 : duration > satisfied_ms ? 0.5 : 1);
}

function post() {
  const body = { user: `load ${__VU}`, text: `number ${__ITER}` };
  const key = `load-${__VU}-${__ITER}-${Math.random()}`;
  const parameters = { headers: { ...json, "Idempotency-Key": key }, tags: { name: "/message" } };
  return http.post(`${chat}/message`, JSON.stringify(body), parameters);
}

function read() {
  const path = Math.random() < 0.8 ? "/messages" : "/users";
  return http.get(`${chat}${path}`, { tags: { name: path } });
}
