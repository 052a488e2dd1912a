// What is counted besides what k6 counts by itself: satisfaction, and errors by kind and code.
import type { RefinedResponse, ResponseType } from 'k6/http';
import { Counter, Trend } from 'k6/metrics';
import { CODES, NO_ANSWER, NO_CODE } from './codes.ts';
import { APDEX } from './objectives.ts';

// One sample for each request to the API, so their number is that of the requests too.
const apdex = new Trend('apdex');
const errors = new Counter('errors');
// Posts of which the server has said that they are stored.
const acknowledged = new Counter('acknowledged');

// Exceptions in the scripts themselves. To k6 an iteration that ended with one is as good as any other.
const faults = new Counter('script_faults');
let told = false;

export function iteration(action: () => unknown): () => void {
  return () => {
    try {
      action();
    } catch (error) {
      faults.add(1);
      // Once for each VU is enough.
      if (!told) console.error(String(error));
      told = true;
    }
  };
}

// client: 4xx, server: 5xx, unanswered: the connection failed or the answer did not come in time.
const KINDS = ['client', 'server', 'unanswered'] as const;

// A summary shows only the parts of a counter that a threshold names, be it an empty one.
export function parts(): Record<string, string[]> {
  const tags = [
    ...KINDS.map((kind) => `kind:${kind}`),
    ...[...CODES, NO_CODE, NO_ANSWER].map((code) => `code:${code}`),
  ];
  return Object.fromEntries(tags.map((tag) => [`errors{${tag}}`, []]));
}

export function record(answer: RefinedResponse<ResponseType>): void {
  apdex.add(satisfaction(answer.status, answer.timings.duration));
  if (answer.status === 201) acknowledged.add(1);
  if (answer.status === 0) errors.add(1, { kind: 'unanswered', code: NO_ANSWER, status: '0' });
  else if (answer.status >= 400) {
    const kind = answer.status < 500 ? 'client' : 'server';
    errors.add(1, { kind, code: codeOf(answer), status: String(answer.status) });
  }
}

function satisfaction(status: number, milliseconds: number): number {
  if (status === 0 || status >= 500 || milliseconds > APDEX.tolerating_ms) return 0;
  return milliseconds > APDEX.satisfied_ms ? 0.5 : 1;
}

// Also of what a proxy in between answers, which may be anything.
function codeOf(answer: RefinedResponse<ResponseType>): string {
  const found = /"code":\s*"(\w+)"/.exec(String(answer.body ?? ''));
  return found && (CODES as string[]).includes(found[1]) ? found[1] : NO_CODE;
}
