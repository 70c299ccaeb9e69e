/** The permissions that a program still needs once it is running. */

const ALL = ["run", "read", "write", "net", "env", "sys", "ffi", "import"] as const;

/** Gives up every permission but these, also one that was given by `--allow-all`. */
export async function keepOnly(kept: readonly typeof ALL[number][]): Promise<void> {
  for (const name of ALL) {
    // A Deno that does not know a permission rejects its name.
    if (!kept.includes(name)) await Deno.permissions.revoke({ name }).catch(() => {});
  }
}
