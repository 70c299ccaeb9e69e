/** Certificates of a test's own: a signer, and whom it signed for; made by openssl. */

import { assert } from "@std/assert";

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout"];

/** Files in a folder of their own, gone at the end of the block. */
export class Certificates implements AsyncDisposable {
  private constructor(readonly folder: string) {}

  /** Makes the signer: `ca.pem`. */
  static async make(): Promise<Certificates> {
    const made = new Certificates(await Deno.makeTempDir({ prefix: "readback-certificates-" }));
    const days = ["-days", "2", "-subj", "/CN=readback's signer for tests"];
    made.#openssl(["req", "-x509", ...KEY, "ca.key", "-out", "ca.pem", ...days]);
    return made;
  }

  /** The path of a file. */
  path(name: string): string {
    return `${this.folder}/${name}`;
  }

  /**
   * Makes `NAME.pem` and `NAME.key`, signed by the signer.
   * @param names who it is, as openssl writes them: `DNS:localhost,IP:127.0.0.1`; empty: nobody
   * @param days valid from now; over already where it is negative
   * @param version 1 has no names
   */
  async sign(name: string, names: string, days = 2, version = 3): Promise<string[]> {
    const subject = names === "" ? "" : `subjectAltName=${names}\n`;
    await Deno.writeTextFile(this.path("extensions"), `${subject}basicConstraints=CA:FALSE\n`);
    this.#openssl(["req", ...KEY, `${name}.key`, "-out", "request", "-subj", `/CN=${name}`]);
    const signer = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    const validity = ["-days", String(days)];
    const extensions = version === 3 ? ["-extfile", "extensions"] : [];
    const files = ["-in", "request", "-out", `${name}.pem`, ...extensions];
    this.#openssl(["x509", "-req", ...files, ...signer, ...validity]);
    return ["--tls-cert", this.path(`${name}.pem`), "--tls-key", this.path(`${name}.key`)];
  }

  #openssl(args: readonly string[]): void {
    const command = new Deno.Command("openssl", { args: [...args], cwd: this.folder });
    const { success, stderr } = command.outputSync();
    assert(success, `openssl ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}
