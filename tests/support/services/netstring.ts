// deno-lint-ignore-file no-console -- a program, which prints where it listens
/** Echoes netstrings, such as `5:hello,` (https://cr.yp.to/proto/netstrings.txt), by a custom framing. */

import { type CustomFraming, formatAddress, serve } from "@readback/readback";

const [COLON, COMMA] = [0x3a, 0x2c];
const MAX_DIGITS = 9;

export const netstring: CustomFraming = {
  read(bytes) {
    const colon = bytes.indexOf(COLON);
    const digits = new TextDecoder().decode(bytes.subarray(0, colon < 0 ? MAX_DIGITS + 1 : colon));
    if (colon < 0 && /^(0|[1-9]\d*)$/.test(digits) && digits.length <= MAX_DIGITS) return 1;
    if (!/^(0|[1-9]\d{0,8})$/.test(digits)) {
      throw new Error("not a netstring: it does not begin with a length");
    }
    const start = colon + 1, end = start + Number(digits);
    if (bytes.length <= end) return end + 1 - bytes.length;
    if (bytes[end] !== COMMA) throw new Error("not a netstring: no comma ends it");
    return { start, end, next: end + 1 };
  },
  write: ({ length }) => ({ before: `${length}:`, after: "," }),
};

if (import.meta.main) {
  const server = serve((message, reply) => reply.write(message), {
    framing: netstring,
    onListen: (addr) => console.log("listening on", formatAddress(addr)),
  });
  await server.finished;
}
