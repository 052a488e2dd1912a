// What a run says in the end: the seven numbers of docs/observability.md as the clients saw them, beside what the servers
// say, on the terminal and as JSON.
import { BASE_URLS, RESULTS } from './settings.ts';
import { lookBack } from './server.ts';
import { report, type Data, type Report } from './report.ts';

const number = (value: number | null | undefined, digits = 0) => (value == null ? '–' : value.toFixed(digits));
export const ms = (value: number | undefined) => `${number(value, 1)} ms`;
const percent = (value: number | null | undefined, digits = 3) =>
  value == null ? '–' : `${(100 * value).toFixed(digits)} %`;

// `extra` gives a script's own lines, and may add to the report.
export function summary(script: string, extra: (data: Data, report: Report) => string[] = () => []) {
  return (data: Data): Record<string, string> => {
    // The run did not begin, and why has been said.
    if (!data.setup_data) return {};
    // Before the servers are asked, which may take a while.
    const ended = Date.now();
    const found = report(script, data, ended, lookBack());
    const lines = [...title(found), ...extra(data, found), ...seven(found), ...verdict(found)];
    const out: Record<string, string> = { stdout: `\n${lines.join('\n')}\n\n` };
    if (RESULTS === '-') out.stdout += `RESULT ${JSON.stringify(brief(found))}\n`;
    else if (RESULTS) out[`${RESULTS}/summary.json`] = JSON.stringify(found, null, 2) + '\n';
    return out;
  };
}

function title(it: Report): string[] {
  return [`${it.script} on ${BASE_URLS.join(', ')}: ${it.requests} requests in ${number(it.seconds, 1)} s`, ''];
}

function seven(it: Report): string[] {
  const ms = it.response_ms;
  const codes = Object.entries(it.errors.by_code).map(([code, count]) => `${code} ${count}`);
  const { client, server, unanswered } = it.errors;
  return [
    line(
      'response time',
      `mean ${number(ms.mean, 1)}, p50 ${number(ms.p50, 1)}, p95 ${number(ms.p95, 1)}, p99 ${number(ms.p99, 1)} ms`,
    ),
    line(
      'errors',
      `${client} × 4xx, ${server} × 5xx, ${unanswered} × no answer${codes.length ? `: ${codes.join(', ')}` : ''}`,
    ),
    ...it.servers.map((one) => line('connected clients', one.trouble ? `not asked: ${one.trouble}` : connected(one))),
    line('request rate', `${number(it.requests_per_second, 1)} a second, ${it.dropped} iterations dropped`),
    ...it.servers.map((one) => line('server CPU', one.trouble ? `not asked: ${one.trouble}` : busy(one))),
    line('availability', percent(it.availability)),
    line('Apdex', number(it.apdex, 3)),
    line('slowest request', it.slowest ? `${it.slowest.milliseconds} ms, trace ${it.slowest.trace_id}` : '–'),
    '',
  ];
}

type Server = Report['servers'][number];

function connected({ connections }: Server): string {
  return connections ? `${connections.now} now, ${connections.peak} at most, limit ${connections.limit}` : '–';
}

function busy(one: Server): string {
  const memory = `memory ${number((one.memory_bytes ?? 0) / 2 ** 20, 1)} MiB`;
  if (one.restarted) return `not known: it is not the process that answered before the run; ${memory}`;
  return `${percent(one.cpu_of_limit, 1)} of its ${one.stats?.cpu.limit_cpus} CPUs, ${number(one.cpu_seconds, 2)} s; ${memory}`;
}

function verdict(it: Report): string[] {
  const marks = Object.entries(it.thresholds).map(([name, ok]) => `  ${ok ? '✓' : '✗'} ${name}`);
  return [...marks, it.passed ? 'passed' : 'FAILED'];
}

export function line(name: string, value: string): string {
  return `  ${name.padEnd(18)} ${value}`;
}

// For readers who have only the log, such as a pod's.
function brief(it: Report) {
  const { requests, failed, dropped, acknowledged } = it;
  const [p99_ms, max_ms] = [it.response_ms.p99, it.response_ms.max].map((ms) => Math.round(ms ?? 0));
  return { requests, failed, dropped, acknowledged, p99_ms, max_ms, passed: it.passed };
}
