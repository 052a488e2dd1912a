// What people do: post, read it back, see who speaks, ask whether there is anything new.
import { check } from "k6";
import http from "k6/http";

export const options = { thresholds: { checks: ["rate==1.0"] } };

const chat = __ENV.BASE_URL;
const headers = { "Content-Type": "application/json" };

export default function () {
  const user = "helm test";
  const text = `Tested at ${new Date().toISOString()} — ✓`;
  const key = { headers: { ...headers, "Idempotency-Key": `helm-test-${Date.now()}` } };
  const posted = http.post(`${chat}/message`, JSON.stringify({ user, text }), key);
  const message = is(posted, 201, "a message is stored") ? posted.json() : {};

  const again = http.post(`${chat}/message`, JSON.stringify({ user, text }), key);
  is(again, 201, "a repeated post succeeds");
  check(again, { "and is the same message": () => again.json("id") === message.id });

  const read = http.get(`${chat}/messages/${message.id}`, { tags: { name: "/messages/{id}" } });
  is(read, 200, "it can be read");
  check(read, { "and is what was posted": () => read.json("text") === text && read.json("user") === user });

  // Others may be posting too: a page that ends with it stays the same.
  const page = `${chat}/messages?limit=1&before=${message.id + 1}`;
  const listed = http.get(page, { tags: { name: "/messages" } });
  is(listed, 200, "it is listed");
  check(listed, { "as the newest one": () => listed.json("messages.0.id") === message.id });

  const users = http.get(`${chat}/users?after=helm`, { tags: { name: "/users" } });
  is(users, 200, "users are listed");
  check(users, { "who posted is among them": () => users.json("users").includes(user) });

  const etag = { headers: { "If-None-Match": users.headers.Etag }, tags: { name: "/users" } };
  is(http.get(`${chat}/users?after=helm`, etag), 304, "nothing new is 304");

  is(http.get(`${chat}/docs`), 200, "Swagger UI is there");
  is(http.get(`${__ENV.OPERATIONS_URL}/readyz`), 200, "the operations port says that it is ready");
}

function is(answer, status, what) {
  const good = check(answer, { [what]: () => answer.status === status });
  if (!good) console.error(`${what}: ${answer.status} ${answer.error} ${answer.body}`);
  return good;
}
