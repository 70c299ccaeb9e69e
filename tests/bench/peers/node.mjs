// deno-lint-ignore-file no-console
/** Node's `net`: all lines of a chunk are answered by one write; `write` and `drain` are the back-pressure. */

import { createServer } from "node:net";

const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
  let held = "";
  socket.on("data", (chunk) => {
    // latin1 keeps every byte as it is, and strings are faster here than many small Buffers.
    const lines = (held + chunk.latin1Slice()).split("\n");
    held = lines.pop();
    if (lines.length === 0) return;
    const now = stamp();
    const replies = lines.map((line) => `[${line}] ${now}\n`).join("");
    if (!socket.write(replies, "latin1")) socket.pause();
  });
  socket.on("drain", () => socket.resume());
  socket.on("end", () => socket.end());
  socket.on("error", () => socket.destroy());
});

let second = 0;
let text = "";

/** C's ctime; made once a second: `Date` is slow. */
function stamp() {
  const now = Math.floor(Date.now() / 1000);
  if (now === second) return text;
  second = now;
  const date = new Date(now * 1000);
  const day = String(date.getDate()).padStart(2);
  text = `${date.toDateString().slice(0, 7)} ${day} ${date.toTimeString().slice(0, 8)} `;
  return text += date.getFullYear();
}

server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`);
});
