// The API as functions, one for each endpoint. Each request is named by its route, has a
// trace id, and is counted.
import exec from 'k6/execution';
import http, { type RefinedParams, type RefinedResponse } from 'k6/http';
import type { Message, MessageList, MessageToPost, UserList } from '../types/api.ts';
import { record } from './measures.ts';
import { BASE_URLS } from './settings.ts';
import * as trace from './trace.ts';

// Longer than the server's own REQUEST_TIMEOUT of 10 s, so that it is the server that gives up.
const TIMEOUT = '15s';

export interface Answer<Body> {
  // 0 if there was no answer, with the reason in `error`.
  status: number;
  error: string;
  headers: Record<string, string>;
  text: string;
  traceId: string;
  json(): Body;
}

type Query = Record<string, string | number | undefined>;

// What a request is counted as; `none` is for paths that the API does not have.
type Route = '/message' | '/messages' | '/messages/{id}' | '/users' | 'none';

export interface Extra {
  headers?: Record<string, string>;
  // The statuses that are no failure; k6 takes 200 to 399 otherwise.
  expected?: number[];
}

export function postMessage(message: MessageToPost, key?: string, extra: Extra = {}): Answer<Message> {
  const headers = {
    'Content-Type': 'application/json',
    ...(key && { 'Idempotency-Key': key }),
    ...extra.headers,
  };
  return call('POST', '/message', '/message', JSON.stringify(message), { ...extra, headers });
}

export function listMessages(
  query: { limit?: number; before?: number; after?: number } = {},
  extra?: Extra,
): Answer<MessageList> {
  return call('GET', '/messages', `/messages${written(query)}`, null, extra);
}

export function getMessage(id: number, extra?: Extra): Answer<Message> {
  return call('GET', '/messages/{id}', `/messages/${id}`, null, extra);
}

export function listUsers(query: { limit?: number; after?: string } = {}, extra?: Extra): Answer<UserList> {
  return call('GET', '/users', `/users${written(query)}`, null, extra);
}

// Each client stays with one server, as it would behind a balancer of connections.
const base = () => BASE_URLS[exec.vu.idInTest % BASE_URLS.length];

// Anything, also what the API does not have.
export function call<T>(method: string, route: Route, path: string, body: string | null, extra: Extra = {}): Answer<T> {
  const context = trace.next();
  const answer = http.request(method, base() + path, body, params(route, context.parent, extra));
  return counted(answer, context);
}

// The latest messages, asked for so many times at once: each time by a connection of its own.
export function listMessagesAtOnce(times: number): Answer<MessageList>[] {
  const traces = Array.from({ length: times }, () => trace.next());
  const url = `${base()}/messages`;
  const requests = traces.map((it) => ({ method: 'GET', url, params: params('/messages', it.parent, {}) }));
  return http.batch(requests).map((answer, index) => counted(answer as RefinedResponse<'text'>, traces[index]));
}

function params(route: string, traceparent: string, extra: Extra): RefinedParams<'text'> {
  return {
    headers: { traceparent, ...extra.headers },
    tags: { name: route },
    timeout: TIMEOUT,
    responseType: 'text',
    ...(extra.expected && { responseCallback: http.expectedStatuses(...extra.expected) }),
  };
}

function counted<T>(answer: RefinedResponse<'text'>, context: trace.Trace): Answer<T> {
  record(answer);
  trace.took(context, answer.timings.duration);
  const { status, error, headers } = answer;
  const json = () => answer.json() as T;
  return { status, error, headers, text: answer.body ?? '', traceId: context.id, json };
}

function written(query: Query): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined);
  return pairs.length ? '?' + pairs.map(([name, value]) => `${name}=${encodeURIComponent(value!)}`).join('&') : '';
}
