/** The pictures of the pages, made from real runs. `deno run` on this file writes them to docs/pictures/. */

import { once } from "node:events";
import net from "node:net";
import { program, startServer } from "../../lib/testing/readback.ts";
import { Screen } from "../../lib/testing/screen.ts";
import { Wire } from "../../lib/testing/wire.ts";

/** The programs of the picture of an outage, as README.md starts them. */
export const OUTAGE = {
  server: ["--fault", "delay=40ms@50..52,drop@80..85"],
  client: "--ping --quiet --count 120 --interval 10ms --timeout 500ms".split(" "),
} as const;

/** How each picture is made, by its name. */
export const PICTURES: Readonly<Record<string, () => Promise<string>>> = {
  framing: () =>
    trace(async (port, screen) => {
      using wire = await Wire.dial(port);
      await wire.send("i am bin");
      await screen.shows('"i am bin"'); // so that the server reads twice
      await wire.send("ary\ni am handsome\n");
      await wire.until(/handsome.*\n/);
    }, /< end/),
  half_close: () =>
    trace(async (port) => {
      using wire = await Wire.dial(port);
      await wire.send("i am binary\n");
      await wire.end();
      await wire.rest();
    }, /< end/),
  reset: () =>
    trace(async (port) => {
      const socket = net.connect(port, "127.0.0.1");
      socket.write("i am binary\n");
      await once(socket, "data");
      socket.resetAndDestroy();
    }, /> reset/),
  outage: async () => {
    await using server = await startServer(OUTAGE.server);
    const typed = OUTAGE.client.slice(0, -2).join(" "); // without the time limit
    await using screen = await shell(`readback ${typed}`, [
      ...program("client"),
      ...["--port", `${server.port}`],
      ...OUTAGE.client,
    ]);
    await screen.ends(1);
    return await screen.svg();
  },
};

/** Shows the trace of a conversation with a client. */
async function trace(
  talk: (port: number, screen: Screen) => Promise<void>,
  end: RegExp,
): Promise<string> {
  const args = ["--trace", "--framing", "line"];
  const command = [...program("server"), "--port", "0", ...args];
  await using screen = await shell(`readback-server ${args.join(" ")}`, command);
  const [, port] = /:(\d+)/.exec(await screen.shows(/listening on .*:\d+/)) ?? [];
  await talk(Number(port), screen);
  await screen.shows(end);
  return await screen.svg();
}

/** Runs a command after a line that shows how a person would have typed it. */
function shell(typed: string, command: readonly string[]): Promise<Screen> {
  const script = `printf '$ %s\\n' "${typed}"; exec "$@"`;
  return Screen.open(["sh", "-c", script, "sh", ...command], { columns: 84, rows: 24 });
}

/** The beginning of a date as a stamp has it, to the day of the month, which may be padded. */
const DATE = /\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} +/g;

/** Returns the text of a picture without what differs from run to run: digits, dates, bars, empty lines. */
export function comparable(svg: string): string {
  const texts = [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text = ""]) => text);
  const normalized = (text: string) =>
    text.replace(DATE, "DATE ").replace(/\d+(\.\d+)?/g, "N").replace(/[▁-▏█×✕]+/g, "|").trim();
  return texts.map(normalized)
    .filter((text) => !text.startsWith("the client itself was late")) // as a busy machine makes it
    .filter((text) => !/^[N.,\s|-]*( ms)?[N.,\s|]*$/.test(text)).join("\n");
}

if (import.meta.main) {
  for (const [name, draw] of Object.entries(PICTURES)) {
    await Deno.writeTextFile(
      new URL(`../../docs/pictures/${name}.svg`, import.meta.url),
      await draw(),
    );
  }
}
