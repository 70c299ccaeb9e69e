/** The package for npm, for tests: packed and installed as its users would. */

import { Program } from "../../lib/testing/program.ts";

const RELEASE = ["run", "--frozen", "--allow-run", "--allow-read", "--allow-write", "--allow-env"];

/** Settings of npm: no install script runs, and what is cached is not asked for again. */
export const NPM_INSTALL = {
  npm_config_audit: "false",
  npm_config_fund: "false",
  npm_config_ignore_scripts: "true",
  npm_config_prefer_offline: "true",
};

/** Whether `node` runs the modules; CI has one that does. */
export const isNode22 = /^(2[2-9]|[3-9]\d)\./.test(await versionOfNode());

async function versionOfNode(): Promise<string> {
  try {
    const { stdout } = await new Deno.Command("node", { args: ["-p", "process.versions.node"] })
      .output();
    return new TextDecoder().decode(stdout);
  } catch {
    return "";
  }
}

/** Packs the package and installs it in a folder; returns its path. */
export async function packFor(folder: string): Promise<string> {
  await using release = new Program(
    [Deno.execPath(), ...RELEASE, ".ci/release.ts", "npm", `${folder}/dist`],
  );
  await release.ends(0);
  const [, tarball = ""] = /^made (.*)\n$/.exec(release.stdout) ?? [];
  await using install = new Program(["npm", "install", "--prefix", folder, tarball], {
    env: NPM_INSTALL,
  });
  await install.ends(0, { timeout: 100_000 });
  return tarball;
}
