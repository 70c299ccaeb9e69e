/** What this machine has: tools and cores. */

/** The path of a program, or null where it is not installed. */
export async function find(name: string): Promise<string | null> {
  const { success, stdout } = await new Deno.Command("sh", {
    args: ["-c", 'command -v "$0"', name],
    stderr: "null",
  }).output();
  return success ? new TextDecoder().decode(stdout).trim() : null;
}

/** Whether a command ends well. */
export async function works(...command: string[]): Promise<boolean> {
  const [program = "", ...args] = command;
  try {
    const { success } = await new Deno.Command(program, { args, stdout: "null", stderr: "null" })
      .output();
    return success;
  } catch {
    return false;
  }
}

/** The numbers of the cores we may use, lowest first. */
export function cores(): number[] {
  const list = /^Cpus_allowed_list:\s*(.*)$/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1];
  return (list ?? "").split(",").flatMap((range) => {
    const [first = NaN, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, at) => first + at);
  });
}

/** The resident memory of a process, in bytes. */
export function memoryOf(pid: number): number {
  const kilobytes = /^VmRSS:\s*(\d+) kB$/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1];
  return Number(kilobytes) * 1024;
}
