// The codes of errors that there are, with their status: docs/errors.md as data. The compiler compares the names with the
// ones in openapi.json, and errors.ts the whole with a running server.
import type { operations } from './api.ts';

type Answers = operations[keyof operations]['responses'];
type Each<T> = T extends unknown ? T[keyof T] : never;
type CodeOf<T> = T extends { content: { 'application/problem+json': { code?: infer C } } } ? C : never;

// The last two belong to no endpoint.
export type Code = Exclude<CodeOf<Each<Answers>>, undefined> | 'method_not_allowed' | 'route_not_found';

export const STATUS: Record<Code, number> = {
  malformed_request: 400,
  malformed_json: 400,
  invalid_parameter: 400,
  invalid_idempotency_key: 400,
  route_not_found: 404,
  message_not_found: 404,
  method_not_allowed: 405,
  not_acceptable: 406,
  request_timeout: 408,
  body_too_large: 413,
  unsupported_media_type: 415,
  user_missing: 422,
  user_empty: 422,
  user_too_long: 422,
  user_invalid: 422,
  text_missing: 422,
  text_too_long: 422,
  text_invalid: 422,
  idempotency_key_reused: 422,
  head_too_large: 431,
  internal: 500,
  database_unavailable: 503,
  overloaded: 503,
  draining: 503,
  deadline_exceeded: 504,
};

export const CODES = Object.keys(STATUS) as Code[];

// What an answer is counted as that has no code, and a request that got no answer.
export const NO_CODE = 'no_code';
export const NO_ANSWER = 'no_answer';
