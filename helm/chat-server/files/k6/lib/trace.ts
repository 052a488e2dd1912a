// Gives each request a trace id of its own, by W3C Trace Context, and remembers that of the slowest one. The server takes
// the id over: it is in its log, in its traces and in X-Request-Id.
import crypto from 'k6/crypto';
import { SharedArray } from 'k6/data';
import exec from 'k6/execution';
import { Gauge } from 'k6/metrics';
import { TRACE_SAMPLED } from './settings.ts';

// VUs share nothing but this, so the trace ids of a run begin alike.
const [RUN] = new SharedArray<string>('run', () => [hex(new Uint8Array(crypto.randomBytes(8)))]);

// Only numbers get from the VUs to the summary, and a gauge knows its greatest one. So this one is made of the milliseconds
// that a request took and, below them, of which request it was: a double holds 53 bits, the two use 52.
const slowest = new Gauge('slowest_request');
const NUMBER_BITS = 2 ** 20;
const VU_BITS = 2 ** 16;
const LONGEST_MS = 2 ** 16 - 1;

let sent = 0;
// A gauge of many thousand samples would be costly, and only what is slower than before can be the slowest.
let slowest_here = -1;

export interface Trace {
  number: number;
  id: string;
  parent: string;
}

export function next(): Trace {
  sent += 1;
  const id = traceId(exec.vu.idInTest, sent);
  // The VU and the number of the request make an id of the span that is never zero, which the standard forbids.
  const sampled = Math.floor(sent * TRACE_SAMPLED) > Math.floor((sent - 1) * TRACE_SAMPLED);
  return { number: sent, id, parent: `00-${id}-${id.slice(16)}-${sampled ? '01' : '00'}` };
}

export function took(request: Trace, milliseconds: number): void {
  const whole = Math.min(Math.ceil(milliseconds), LONGEST_MS);
  if (whole <= slowest_here || request.number >= NUMBER_BITS || exec.vu.idInTest >= VU_BITS) return;
  slowest_here = whole;
  slowest.add((whole * VU_BITS + exec.vu.idInTest) * NUMBER_BITS + request.number);
}

// What the greatest value of `slowest_request` stands for.
export function unpack(value: number): { milliseconds: number; trace_id: string } {
  const request = value % NUMBER_BITS;
  const vu = Math.floor(value / NUMBER_BITS) % VU_BITS;
  return { milliseconds: Math.floor(value / NUMBER_BITS / VU_BITS), trace_id: traceId(vu, request) };
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function traceId(vu: number, request: number): string {
  return RUN + vu.toString(16).padStart(6, '0') + request.toString(16).padStart(10, '0');
}
