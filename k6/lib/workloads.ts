// Who sends what, and when. All of it is open: requests begin at their rate however slow the answers are, as people do who
// know nothing of each other. With a fixed number of clients a slow server would be asked less, and look better.
import type { Scenario } from 'k6/options';
import exec from 'k6/execution';
import * as chat from './client.ts';
import { number, POSTS_PERCENT, seconds, USER } from './settings.ts';

// Requests under way at once. As many as begin within two seconds, at least 20: so long may an answer take. All are made
// before the run, because making them takes the processor time that measuring needs.
export function clients(rate: number): { preAllocatedVUs: number; maxVUs: number } {
  const most = Math.max(1, number('MAX_VUS', Math.max(20, Math.min(2 * rate, 2000))));
  return { preAllocatedVUs: most, maxVUs: most };
}

export function constant(rate: number, duration: string, more: Partial<Scenario> = {}): Scenario {
  const steady = { executor: 'constant-arrival-rate', rate, duration, timeUnit: '1s', gracefulStop: '15s' };
  return { ...steady, ...clients(rate), ...more } as Scenario;
}

// From one rate to another, stays there, and back; the ways take a tenth of the time each.
export function ramping(from: number, to: number, duration: string, more: Partial<Scenario> = {}): Scenario {
  const way = `${Math.max(1, Math.round(seconds(duration) / 10))}s`;
  const hold = `${Math.max(1, Math.round(seconds(duration) * 0.8))}s`;
  const stages = [
    { target: to, duration: way },
    { target: to, duration: hold },
    { target: from, duration: way },
  ];
  const steep = {
    executor: 'ramping-arrival-rate',
    startRate: from,
    stages,
    timeUnit: '1s',
    gracefulStop: '15s',
  };
  return { ...steep, ...clients(to), ...more } as Scenario;
}

// A unique key for each post, also across runs.
export function key(): string {
  return `${USER}-${exec.vu.idInTest}-${exec.vu.iterationInInstance}-${Date.now()}-${Math.random()}`;
}

// The last things that this VU has seen.
let id = 0;
let etag = '';

// What people do, one request each time: most read the latest messages or ask whether there are new ones.
export function everyday(): chat.Answer<unknown> {
  if (Math.random() * 100 < POSTS_PERCENT) return post();
  const dice = Math.random();
  if (dice < 0.6) return read();
  if (dice < 0.8 && etag) return chat.listMessages({}, { headers: { 'If-None-Match': etag } });
  if (dice < 0.9 && id) return chat.getMessage(id);
  return chat.listUsers();
}

function post() {
  const text = `number ${exec.vu.iterationInInstance} of ${exec.vu.idInTest}`;
  const answer = chat.postMessage({ user: USER, text }, key());
  if (answer.status === 201) id = answer.json().id;
  return answer;
}

function read() {
  const answer = chat.listMessages();
  if (answer.status === 200) etag = answer.headers['Etag'];
  return answer;
}
