/**
 * Installs the libraries of examples/, where they are not all there. `npm test` runs this before the tests, two files of
 * which would get into each other's way; those that need the libraries import it, too, so that each can run alone.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const EXAMPLES = fileURLToPath(new URL("../examples", import.meta.url));
const { dependencies } = JSON.parse(readFileSync(join(EXAMPLES, "package.json"), "utf8"));
const isThere = (name: string) => existsSync(join(EXAMPLES, "node_modules", name, "package.json"));

if (!existsSync(join(EXAMPLES, "node_modules/.package-lock.json")) || !Object.keys(dependencies).every(isThere)) {
  console.log("examples/node_modules is not complete: npm ci --prefix examples");
  const { npm_execpath: script } = process.env;
  const [program, ...args] = script ? [process.execPath, script] : ["npm"];
  const flags = ["ci", "--prefix", EXAMPLES, "--no-audit", "--no-fund"];
  const { status, error } = spawnSync(program as string, [...args, ...flags], { stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new Error("These tests need the libraries of examples/package.json", { cause: error });
}
