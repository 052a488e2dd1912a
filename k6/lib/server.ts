// Reads the servers' own numbers before and after a run. These requests are not part of the load; if they fail, the summary
// is shorter, but the run does not fail.
import http from 'k6/http';
import type { Stats } from '../types/api.ts';
import { OPERATIONS_URLS } from './settings.ts';

export interface Seen {
  url: string;
  // Why there is nothing else.
  trouble?: string;
  stats?: Stats;
  cpu_seconds?: number;
  // The last fifteen minutes in steps of five seconds.
  history?: unknown;
}

export const look = (): Seen[] => OPERATIONS_URLS.map(lookAt);

export function lookBack(): Seen[] {
  return look().map((seen) => {
    if (!seen.stats) return seen;
    return { ...seen, history: parsed<unknown>(aside(`${seen.url}/stats/history`).body) };
  });
}

function lookAt(url: string): Seen {
  const { status, error, body } = aside(`${url}/stats`);
  if (status !== 200) return { url, trouble: error || `${url}/stats answered ${status}` };
  // Behind a gateway it may be a page for people.
  const stats = parsed<Stats>(body);
  if (!stats?.service) return { url, trouble: `${url}/stats is not that of a chat-server` };
  // Only there is it a total, from which the processor time of a run can be told.
  const total = /^process_cpu_time_seconds_total\S* (\S+)/m.exec(aside(`${url}/metrics`).body);
  return { url, stats, cpu_seconds: total ? Number(total[1]) : undefined };
}

function parsed<T>(body: string): T | undefined {
  try {
    return JSON.parse(body) as T;
  } catch {
    return undefined;
  }
}

// A request beside the load. k6 would log each one that fails, so it throws instead.
export function aside(url: string): { status: number; error: string; body: string } {
  // null means: neither expected nor unexpected. k6's types know neither that nor `throw`.
  const params: object = { timeout: '3s', throw: true, responseCallback: null, tags: { name: 'aside' } };
  try {
    const answer = http.get<'text'>(url, params);
    return { status: answer.status, error: '', body: answer.body ?? '' };
  } catch (error) {
    return { status: 0, error: String(error).replace(/^GoError: |\n[^]*$/g, ''), body: '' };
  }
}

// What one server did between the two looks, if it is still the same process.
export function between(before: Seen, after: Seen) {
  const { stats } = after;
  if (!stats) return { url: after.url, trouble: after.trouble };
  const same = before.stats?.service.started_at === stats.service.started_at;
  const seconds = stats.service.uptime_seconds - (before.stats?.service.uptime_seconds ?? 0);
  const busy = same ? (after.cpu_seconds ?? NaN) - (before.cpu_seconds ?? NaN) : NaN;
  return {
    url: after.url,
    // Or, behind a balancer, it is another one.
    restarted: !same,
    connections: stats.connections,
    cpu_seconds: known(busy),
    cpu_of_limit: known(busy / seconds / stats.cpu.limit_cpus),
    memory_bytes: stats.memory_bytes,
    memory_bytes_before: same ? before.stats?.memory_bytes : undefined,
    stats,
    history: after.history,
  };
}

export type Between = ReturnType<typeof between>;

// JSON has no NaN.
const known = (value: number): number | null => (Number.isFinite(value) ? value : null);
