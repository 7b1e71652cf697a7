/**
 * The benchmark: `npm run bench`, and behind ` -- `:
 *   --quick                a minute or two, on Node.js 26   --all         every peer, for the record
 *   --only burst,steady    scenarios, see scenarios.ts      --rounds 9    instead of each scenario's own number
 *   --node 24,26           versions of Node.js, by npx
 *   --against COMMIT       two versions of cloudwatch.ts in turns, and the ratio of each figure
 *
 * Each measurement is a process of its own. What is compared is measured in turns, so that a slow moment of the machine hits
 * all of it. A measurement that fails is told at once and in the report, is not tried again, and lets this command fail.
 * A run of everything writes RESULTS.md, and, if nothing failed, the figures that README.md and docs/ show.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import type { Measure } from "./measure.ts";
import { keyOf, type Results, reportOf, withFigures } from "./report.ts";
import { type Scenario, scenariosOf } from "./scenarios.ts";

const { quick, all, only, rounds, node, against } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    all: { type: "boolean", default: false },
    only: { type: "string" },
    rounds: { type: "string" },
    node: { type: "string" },
    against: { type: "string" },
  },
}).values;
const isFull = !quick && !only && !rounds && !node && !against;
const versions = (node ?? (quick ? "26" : "24,26")).split(",");
const known = scenariosOf(quick, all, versions.at(-1) ?? "");
const scenarios = (only?.split(",") ?? Object.keys(known)).map((name): [string, Scenario] => {
  const scenario = known[name];
  if (!scenario) throw new RangeError(`--only ${name}: there are ${Object.keys(known).join(", ")}`);
  return [name, { ...scenario, rows: scenario.rows.filter(({ isOurs }) => isOurs || !against) }];
});

const folder = import.meta.dirname;
mkdirSync(join(folder, "dist"), { recursive: true });
/** Below this folder, so that the packages are found; of this run alone. */
const dist = mkdtempSync(join(folder, "dist/run-"));
process.once("exit", () => rmSync(dist, { recursive: true, force: true }));

const results: Results = {
  versions,
  nodes: new Map([...versions, ...scenarios.flatMap(([, { node }]) => node ?? [])].map((node) => [node, nodeOf(node)])),
  files: await compile(),
  scenarios,
  figures: new Map(),
  failures: new Map(),
};
for (const [name, { rows, node, rounds: usual = 3 }] of scenarios) {
  const began = Date.now();
  for (let round = 0; round < Number(rounds ?? (quick ? 1 : usual)); round++) {
    const files = round % 2 === 0 ? [...results.files.keys()] : [...results.files.keys()].reverse();
    for (const { label, measure } of rows) {
      for (const version of node ? [node] : versions) {
        for (const file of files) await addRound(keyOf(name, label, version, file), measure, version, file);
      }
    }
  }
  console.error(`${name}: ${((Date.now() - began) / 1_000).toFixed(0)} s`);
}
const report = reportOf(results);
console.log(report);
if (isFull) writeFileSync(join(folder, "RESULTS.md"), report);
if (results.failures.size > 0) process.exitCode = 1;
else if (isFull) {
  for (const name of ["README.md", "docs/benchmarks.md", "docs/delivery.md"]) {
    const page = join(folder, "..", name);
    writeFileSync(page, withFigures(readFileSync(page, "utf8"), report));
  }
}

async function addRound(key: string, measure: Measure, version: string, file: string): Promise<void> {
  if (results.failures.has(key)) return;
  try {
    const figures = await measure(results.nodes.get(version) ?? "", file);
    results.figures.set(key, [...(results.figures.get(key) ?? []), figures]);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    results.failures.set(key, text);
    console.error(`${key}: ${text}`);
  }
}

/** The program of a version of Node.js, from npm. */
function nodeOf(version: string): string {
  const given = ["-y", "-p", `node@${version}`, "node", "-p", "process.execPath"];
  return execFileSync("npx", given, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
}

/**
 * JavaScript from TypeScript, so that no loader is in a measured process; packages stay what npm installed. Gives the
 * compiled versions of cloudwatch.ts, and the ids of what they were made of, as `git rev-parse COMMIT:cloudwatch.ts` tells.
 */
async function compile(): Promise<Map<string, string>> {
  const git = (...given: string[]) => execFileSync("git", given, { cwd: folder, encoding: "utf8", maxBuffer: 2 ** 24 });
  const sources: Record<string, string> = { cwlogger: join(folder, "../cloudwatch.ts") };
  if (against) {
    sources.against = join(dist, "against.ts");
    writeFileSync(sources.against, git("show", `${against}:cloudwatch.ts`));
  }
  const entryPoints = { ...sources, worker: join(folder, "worker.ts"), start: join(folder, "start.ts") };
  const settings = { platform: "node", format: "esm", target: "node20", bundle: true, packages: "external" } as const;
  await build({ ...settings, entryPoints, outdir: dist, outExtension: { ".js": ".mjs" }, logLevel: "warning" });
  writeFileSync(join(dist, "empty.mjs"), "export {};\n");
  const idOf = (path: string) => `object ${git("hash-object", path).slice(0, 9)}`;
  return new Map(Object.entries(sources).map(([name, path]) => [join(dist, `${name}.mjs`), idOf(path)]));
}
