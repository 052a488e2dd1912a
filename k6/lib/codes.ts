// The codes of errors with their status: docs/errors.md as data. tests/it/k6.rs compares the two, and errors.ts the codes that
// a client can cause with a running server.
export const STATUS = {
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
} as const;

export type Code = keyof typeof STATUS;

export const CODES = Object.keys(STATUS) as Code[];

// What an answer is counted as that has no code, and a request that got no answer.
export const NO_CODE = 'no_code';
export const NO_ANSWER = 'no_answer';
