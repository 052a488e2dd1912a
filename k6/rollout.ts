// Do clients notice a restart: a rolling update, a deleted pod, a replaced server?
// Pass: no request fails, and each acknowledged post is in the database (the caller that restarts things counts them).
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';
import * as chat from './lib/client.ts';
import { iteration } from './lib/measures.ts';
import { optionsFor } from './lib/options.ts';
import { duration, rate, seconds, text, USER } from './lib/settings.ts';
import { summary } from './lib/summary.ts';
import { constant, key } from './lib/workloads.ts';

export { setup } from './lib/start.ts';
// With RETRY, a request that got no answer is sent once more, as a client would that wants to survive a server that dies.
const retry = text('RETRY', '') !== '';
const perSecond = rate(100);
const lasting = duration('1m');
const failed = new Counter('failed');

// Iterations that k6 could not send in time are k6's own fault, unless there are many.
const dropped = `count<=${Math.floor((perSecond * seconds(lasting)) / 100)}`;
const thresholds = { failed: ['count==0'], dropped_iterations: [dropped], acknowledged: ['count>0'] };
export const options = optionsFor({ rollout: constant(perSecond, lasting) }, thresholds);
export const handleSummary = summary('rollout');

let turn = 0;

// One in ten is a post: these wait for a disk, and need not be the most to find out what is lost.
export default iteration(() => {
  const posts = (turn++ + exec.vu.idInTest) % 10 === 0;
  const send = posts ? post(key()) : () => chat.listMessages();
  let answer = send();
  if (retry && answer.status === 0) answer = send();
  if (answer.status !== 200 && answer.status !== 201) {
    failed.add(1);
    console.error(`${posts ? 'POST' : 'GET'} ${answer.status} ${answer.error} ${answer.text.slice(0, 200)}`);
  }
});

function post(once: string) {
  // Go's HTTP client, which k6 is made with, repeats a request with a key by itself where a connection broke.
  return (): chat.Answer<unknown> => chat.postMessage({ user: USER, text: once }, retry ? once : undefined);
}
