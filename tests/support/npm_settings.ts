/** The project's settings where neither links nor JSR can be had. */

const FILE = new URL("../../deno.json", import.meta.url);

/** The text of deno.json without links, its `@std` names pointed at npm. */
export async function npmSettings(): Promise<string> {
  const { links: _, ...settings } = JSON.parse(await Deno.readTextFile(FILE));
  for (const name of Object.keys(settings.imports)) {
    const [scope, module, file = "mod"] = name.split("/");
    if (scope !== "@std") continue;
    const path = `${module}/${file.replaceAll("-", "_")}.js`;
    settings.imports[name] = `npm:deno-std@^1.4.0/${path}`;
  }
  return JSON.stringify(settings);
}
