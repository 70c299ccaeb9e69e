/**
 * Runs the test files of a folder in one module. A module of its own costs each some 80 ms of CPU
 * time, before its first test.
 * @param part of so many, for machines with several cores
 */
export async function together(folder: string, part = 1, parts = 1): Promise<void> {
  const files = [...Deno.readDirSync(new URL(`../${folder}`, import.meta.url))]
    .map(({ name }) => name).filter((name) => name.endsWith("_test.ts")).sort();
  for (const [at, name] of files.entries()) {
    if (at % parts === part - 1) await import(`../${folder}/${name}`);
  }
}
