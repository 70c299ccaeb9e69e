// deno-lint-ignore-file no-console -- it tells what happened
/** The server, and in the same process what somebody who had taken it over would try. */

import { sleep } from "../../lib/wait.ts";

const attempts: Record<string, () => unknown> = {
  connect: () => Deno.connect({ hostname: "127.0.0.1", port: 9 }),
  listen: () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
  read: () => Deno.readTextFile("deno.json"),
  write: () => Deno.writeTextFile("taken-over", ""),
  run: () => new Deno.Command("true").output(),
  sys: () => Deno.hostname(),
  ffi: () => Deno.dlopen("libc.so.6", {}),
  import: () => import(`http://127.0.0.1:9/${Date.now()}.js`),
  env: () => Deno.env.get("HOME"),
};

void import("../../server.ts"); // it reads this program's arguments
while ((await Deno.permissions.query({ name: "net" })).state === "granted") {
  await sleep(10);
}
for (const [what, attempt] of Object.entries(attempts)) {
  const outcome = await Promise.resolve().then(attempt).then(
    () => "done",
    (error) => /^Requires \w+ access/.test(error.message) ? "NotCapable" : `${error}`,
  );
  console.error(`${what}: ${outcome}`);
}
