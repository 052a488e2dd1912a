// Is every acknowledged message in the very next read by any client, while others write?
// Pass: no stale read. One would mean that an old response is kept somewhere: a cache, or a replica that lags behind.
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';
import * as chat from './lib/client.ts';
import { iteration } from './lib/measures.ts';
import { objectives } from './lib/objectives.ts';
import { optionsFor } from './lib/options.ts';
import { duration, rate, USER } from './lib/settings.ts';
import { line, summary } from './lib/summary.ts';
import { constant, key } from './lib/workloads.ts';
import type { Message } from './types/api.ts';

export { setup } from './lib/start.ts';
const fresh = new Counter('fresh_reads');
const stale = new Counter('stale_reads');
const WAYS = ['list', 'poll', 'message', 'backwards'];

const perSecond = rate(20);
const lasting = duration('1m');
const scenarios = {
  writers: constant(perSecond, lasting, { exec: 'write' }),
  readers: constant(2 * perSecond, lasting, { exec: 'read' }),
};
const ways = Object.fromEntries(
  WAYS.flatMap((way) => [
    [`stale_reads{way:${way}}`, []],
    [`fresh_reads{way:${way}}`, ['count>0']],
  ]),
);
const promises = { stale_reads: ['count==0'] };
export const options = optionsFor(scenarios, { ...objectives(), ...ways, ...promises });

export const handleSummary = summary('freshness', ({ metrics }) => {
  const count = (metric: string) => metrics[metric]?.values.count ?? 0;
  const which = WAYS.map((way) => `${way} ${count(`stale_reads{way:${way}}`)}`).join(', ');
  return [
    line('stale reads', `${count('stale_reads')} of ${count('stale_reads') + count('fresh_reads')} (${which})`),
    '',
  ];
});

// Posts, and reads again in each way there is. The lists come over several connections at once, as other clients ask: behind
// a load balancer they are answered by different servers.
export const write = iteration(() => {
  const before = chat.listMessages();
  const posted = chat.postMessage({ user: `${USER} ${exec.vu.idInTest}`, text: key() }, key());
  if (posted.status !== 201) return;
  const { id } = posted.json();
  for (const list of chat.listMessagesAtOnce(3)) {
    if (list.status === 200) seen('list', has(list.json().messages, id), id, list.traceId);
  }
  const poll = chat.listMessages({}, { headers: { 'If-None-Match': before.headers['Etag'] ?? '"none"' } });
  if (poll.status === 200 || poll.status === 304) seen('poll', poll.status === 200, id, poll.traceId);
  const one = chat.getMessage(id, { expected: [200, 404] });
  if (one.status === 200 || one.status === 404) seen('message', one.status === 200, id, one.traceId);
});

// It may have been pushed out of the list by so many newer ones.
function has(messages: Message[], id: number): boolean {
  return messages.some((it) => it.id === id) || (messages.length > 0 && messages.every((it) => it.id > id));
}

let newest = 0;

// A client that has seen a message never again gets a list that ends before it.
export const read = iteration(() => {
  const list = chat.listMessages();
  if (list.status !== 200) return;
  const now = list.json().messages[0]?.id ?? 0;
  seen('backwards', now >= newest, newest, list.traceId);
  newest = Math.max(newest, now);
});

function seen(way: string, good: boolean, id: number, traceId: string): void {
  if (good) fresh.add(1, { way });
  else {
    // The first one of each VU is enough to look for its cause.
    if (stales++ === 0) console.error(`stale: message ${id} was missing, by ${way}, trace ${traceId}`);
    stale.add(1, { way });
  }
}

let stales = 0;
