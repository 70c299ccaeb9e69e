// deno-lint-ignore-file no-console -- a program of its own
/** A framing of one's own: netstrings, as in `5:hello,` (https://cr.yp.to/proto/netstrings.txt), are read back. */

import { type CustomFraming, formatAddress, serve } from "@readback/readback";

const [COLON, COMMA] = [0x3a, 0x2c];
const MOST_DIGITS = 9;

export const netstring: CustomFraming = {
  read(bytes) {
    const colon = bytes.indexOf(COLON);
    const digits = new TextDecoder().decode(bytes.subarray(0, colon < 0 ? MOST_DIGITS + 1 : colon));
    if (colon < 0 && /^(0|[1-9]\d*)$/.test(digits) && digits.length <= MOST_DIGITS) return 1;
    if (!/^(0|[1-9]\d{0,8})$/.test(digits)) {
      throw new Error("no netstring: it begins with no length");
    }
    const start = colon + 1, end = start + Number(digits);
    if (bytes.length <= end) return end + 1 - bytes.length;
    if (bytes[end] !== COMMA) throw new Error("no netstring: no comma ends it");
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
