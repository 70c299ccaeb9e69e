/** What Node calls the errors that Deno has classes for. */

/** What goes wrong with a bind, by the system's name, as the errors that Deno.listen throws. */
const KNOWN: Readonly<Record<string, new (message: string) => Error>> = {
  EACCES: Deno.errors.PermissionDenied,
  EADDRINUSE: Deno.errors.AddrInUse,
  EADDRNOTAVAIL: Deno.errors.AddrNotAvailable,
};

/** What Node's error is among Deno's, if that is known. */
export function asDenoError(error: unknown): unknown {
  const Known = error instanceof Error && "code" in error && KNOWN[String(error.code)];
  return Known ? new Known((error as Error).message) : error;
}
