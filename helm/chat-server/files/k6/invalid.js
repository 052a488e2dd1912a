// What people should not do: each is refused with the right code, and markup is kept as the text that it is.
import { check } from "k6";
import http from "k6/http";

export const options = { thresholds: { checks: ["rate==1.0"] } };

const chat = __ENV.BASE_URL;
const json = { headers: { "Content-Type": "application/json" } };
http.setResponseCallback(http.expectedStatuses({ min: 200, max: 499 }));

export default function () {
  refused(post({ user: "", text: "hi" }), 422, "user_empty");
  refused(post({ text: "hi" }), 422, "user_missing");
  refused(post({ user: "u".repeat(101), text: "hi" }), 422, "user_too_long");
  refused(post({ user: "helm test", text: "x".repeat(65536) }), 422, "text_too_long");
  refused(post({ user: "helm test", text: 1 }), 422, "text_invalid");
  refused(http.post(`${chat}/message`, '{"user": "helm test",', json), 400, "malformed_json");
  refused(http.post(`${chat}/message`, "hello", { headers: { "Content-Type": "text/plain" } }), 415, "unsupported_media_type");
  refused(http.get(`${chat}/messages?limit=0`), 400, "invalid_parameter");
  refused(http.get(`${chat}/messages/0`), 404, "message_not_found");
  refused(http.del(`${chat}/messages`), 405, "method_not_allowed");
  refused(http.get(`${chat}/nothing`), 404, "route_not_found");
  refused(http.get(`${chat}/metrics`), 404, "route_not_found");

  const text = `<script>alert("1")</script>'; drop table messages; --`;
  const posted = post({ user: "helm test", text });
  const read = http.get(`${chat}/messages/${posted.json("id")}`, { tags: { name: "/messages/{id}" } });
  check(read, {
    "markup comes back verbatim": () => read.json("text") === text,
    "as JSON": () => read.headers["Content-Type"].startsWith("application/json"),
    "and no browser may guess otherwise": () => read.headers["X-Content-Type-Options"] === "nosniff",
  });
}

function post(message) {
  return http.post(`${chat}/message`, JSON.stringify(message), json);
}

function refused(answer, status, code) {
  const good = check(answer, {
    [`${code} is ${status}`]: () => answer.status === status && answer.json("code") === code,
    [`${code} is a problem document`]: () => answer.headers["Content-Type"].startsWith("application/problem+json"),
  });
  if (!good) console.error(`${code}: ${answer.status} ${answer.error} ${answer.body}`);
}
