// Does each operation work, without other load?
// Pass: every response is right, and the objectives hold.
import { check } from 'k6';
import * as chat from './lib/client.ts';
import { iteration } from './lib/measures.ts';
import { objectives } from './lib/objectives.ts';
import { optionsFor } from './lib/options.ts';
import { duration, rate, USER } from './lib/settings.ts';
import { summary } from './lib/summary.ts';
import { constant, key } from './lib/workloads.ts';

export { setup } from './lib/start.ts';
const scenarios = { smoke: constant(rate(2), duration('30s')) };
export const options = optionsFor(scenarios, { ...objectives(), checks: ['rate==1'] });
export const handleSummary = summary('smoke');

// One after the other, as one person would: 2 times a second it is 16 requests a second.
export default iteration(() => {
  const text = `Smoke: “${'✓'.repeat(3)}” <b>${Date.now()}</b>`;
  const once = key();
  const posted = chat.postMessage({ user: USER, text }, once);
  const again = chat.postMessage({ user: USER, text }, once);
  check(posted, { 'a message is stored': (it) => it.status === 201 && it.json().text === text });
  if (posted.status !== 201) return;
  const { id } = posted.json();
  check(again, {
    'the same post again is the same message': (it) => it.status === 201 && it.json().id === id,
    'and says so': (it) => it.headers['Idempotency-Replayed'] === 'true',
  });

  const one = chat.getMessage(id);
  check(one, { 'it can be read': (it) => it.status === 200 && it.json().text === text });
  check(one, { 'by the trace id that was sent': (it) => it.headers['X-Request-Id'] === it.traceId });
  // Others may be posting too: a page that ends with it stays the same.
  const page = chat.listMessages({ limit: 1, before: id + 1 });
  check(page, { 'it is listed': (it) => it.status === 200 && it.json().messages[0].id === id });
  const latest = chat.listMessages();
  check(latest, { 'the latest are listed': (it) => it.status === 200 && it.json().messages.length > 0 });
  const users = chat.listUsers({ after: USER.slice(0, -1) });
  check(users, { 'who posted is listed': (it) => it.status === 200 && it.json().users.includes(USER) });
  const unchanged = { headers: { 'If-None-Match': users.headers['Etag'] } };
  check(chat.listUsers({ after: USER.slice(0, -1) }, unchanged), {
    'nothing new is 304': (it) => it.status === 304,
  });
  const withoutUser = chat.postMessage({ text } as { user: string; text: string }, undefined, {
    expected: [422],
  });
  check(withoutUser, {
    'a message without a user is refused': (it) => it.status === 422 && it.text.includes('user_missing'),
  });
});
