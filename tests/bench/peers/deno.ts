// deno-lint-ignore-file no-console -- a program of its own
// Deno's own loop, as its manual has it: what the runtime costs without the care that a server needs.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function ctime(): string {
  const time = new Date();
  const day = String(time.getDate()).padStart(2);
  return `${time.toDateString().slice(0, 7)} ${day} ${
    time.toTimeString().slice(0, 8)
  } ${time.getFullYear()}`;
}
let stamp = ctime();
setInterval(() => stamp = ctime(), 1000);

async function serve(conn: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(16384);
  let held = "";
  for (let count; (count = await conn.read(buffer)) !== null;) {
    const lines = (held + decoder.decode(buffer.subarray(0, count))).split("\n");
    held = lines.pop() ?? "";
    const replies = encoder.encode(lines.map((line) => `[${line}] ${stamp}\n`).join(""));
    for (let at = 0; at < replies.length;) at += await conn.write(replies.subarray(at));
  }
  conn.close();
}

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 4096 });
console.log(`listening on 127.0.0.1:${listener.addr.port}`);
for await (const conn of listener) serve(conn).catch(() => {});
