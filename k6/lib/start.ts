// How each run begins: when the server answers, or not at all.
import exec from 'k6/execution';
import { sleep } from 'k6';
import { aside, look, type Seen } from './server.ts';
import { BASE_URLS, WAIT_SECONDS } from './settings.ts';

export interface Start {
  at: string;
  servers: Seen[];
}

export function setup(): Start {
  const until = Date.now() + 1000 * WAIT_SECONDS;
  let trouble = ask();
  while (trouble && Date.now() < until) {
    sleep(1);
    trouble = ask();
  }
  if (trouble)
    exec.test.abort(`No load: ${BASE_URLS[0]} ${trouble}. BASE_URL says where the server is, WAIT how long to wait.`);
  const servers = look();
  return { at: new Date().toISOString(), servers };
}

// What speaks against beginning. Reading needs the database, so this says more than that a port is open.
function ask(): string | null {
  const { status, error } = aside(`${BASE_URLS[0]}/messages?limit=1`);
  if (status === 200) return null;
  return status ? `answers ${status}` : `cannot be reached (${error})`;
}
