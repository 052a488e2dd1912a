// What may be set from outside. The names are our own: k6 takes K6_VUS, K6_DURATION and the like as options and then drops
// the scenarios of a script without a word.

// One address, or several with commas between them, for replicas without a load balancer: clients take them in turns.
export const BASE_URLS = addresses('BASE_URL', 'http://localhost:8081');

// Where the servers say how they are, one address for each replica.
export const OPERATIONS_URLS = addresses('OPERATIONS_URL', BASE_URLS.join());

// How long to wait for a server that is being started.
export const WAIT_SECONDS = seconds(text('WAIT', '5s'));

// The folder for summary.json, or - for one line of it on standard output; nowhere if empty.
export const RESULTS = text('RESULTS', '');

// The share of requests that ask the server to trace them, 0 to 1.
export const TRACE_SAMPLED = number('TRACE_SAMPLED', 1);

// How many of a hundred requests of the mixed workload are posts.
export const POSTS_PERCENT = number('POSTS_PERCENT', 20);

// The user of the posts. To count a run's posts in the database, give each run its own name.
export const USER = text('USER_NAME', 'k6');

// Rates are requests, or what a script says, per second.
export const rate = (usual: number): number => number('RATE', usual);

export const duration = (usual: string): string => `${seconds(text('DURATION', usual))}s`;

function addresses(name: string, usual: string): string[] {
  return text(name, usual)
    .split(',')
    .map((url) => url.replace(/\/+$/, ''));
}

export function text(name: string, usual: string): string {
  return __ENV[name] || usual;
}

export function number(name: string, usual: number): number {
  const found = Number(text(name, String(usual)));
  if (!Number.isFinite(found) || found < 0) throw new Error(`${name} must be a number, not ${__ENV[name]}`);
  return found;
}

// 90s, 1m30s, 500ms, 2h, or a plain number of seconds.
export function seconds(written: string): number {
  const units: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 };
  if (/^\d+$/.test(written)) return Number(written);
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(written)) throw new Error(`not a duration: ${written} (write 90s or 1m30s)`);
  const parts = written.match(/\d+(\.\d+)?(ms|s|m|h|d)/g)!;
  return parts.reduce((sum, part) => sum + parseFloat(part) * units[part.replace(/[\d.]+/, '')], 0);
}
