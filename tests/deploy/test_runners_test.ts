/** Test runners as the command beside the server: the exit code is theirs. */

import { describe, it } from "@std/testing/bdd";
import { Program } from "../../lib/testing/program.ts";
import { program } from "../../lib/testing/readback.ts";
import { requires } from "../../lib/testing/requires.ts";
import { inFolder } from "../support/folder.ts";

/** A test that asks the server, for each runner: its files, and the command that runs them. */
const RUNNERS: Readonly<Record<string, { files: Record<string, string>; command: string[] }>> = {
  sh: {
    files: {
      "ask.sh": 'echo hello | nc -N "$READBACK_HOST" "$READBACK_PORT" | grep -q "^\\[WANTED\\] "\n',
    },
    command: ["sh", "ask.sh"],
  },
  pytest: {
    files: {
      "test_ask.py": `import os, socket

def test_ask():
    with socket.create_connection((os.environ["READBACK_HOST"], os.environ["READBACK_PORT"])) as peer:
        peer.sendall(b"hello\\n")
        assert peer.makefile("rb").readline().startswith(b"[WANTED] ")
`,
    },
    command: ["pytest", "-q", "-p", "no:cacheprovider"],
  },
  go: {
    files: {
      "go.mod": "module ask\n\ngo 1.18\n",
      "ask_test.go": `package ask

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

func TestAsk(t *testing.T) {
	conn, err := net.Dial("tcp", os.Getenv("READBACK_ADDRESS"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintln(conn, "hello")
	reply, err := bufio.NewReader(conn).ReadString('\\n')
	if err != nil || !strings.HasPrefix(reply, "[WANTED] ") {
		t.Fatal(reply, err)
	}
}
`,
    },
    command: ["go", "test", "./..."],
  },
};

describe("a test runner beside the server", requires("signals"), () => {
  for (const [name, { files, command }] of Object.entries(RUNNERS)) {
    for (const [wanted, code] of [["hello", 0], ["another", 1]] as const) {
      it(`${name}: ${code === 0 ? "passes" : "fails"}`, requires(name, "nc"), async () => {
        await inFolder(async (cwd) => {
          for (const [file, text] of Object.entries(files)) {
            await Deno.writeTextFile(`${cwd}/${file}`, text.replace("WANTED", wanted));
          }
          const args = ["--", ...command];
          await using server = new Program([...program("server", args), ...args], { cwd });
          await server.ends(code, { timeout: 60_000 }); // Go compiles
        });
      });
    }
  }
});
