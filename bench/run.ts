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
import { type BuildOptions, build } from "esbuild";
import type { Measure } from "./measure.ts";
import { keyOf, type Results, reportOf, withFigures } from "./report.ts";
import { scenariosOf } from "./scenarios.ts";

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    all: { type: "boolean", default: false },
    only: { type: "string" },
    rounds: { type: "string" },
    node: { type: "string" },
    against: { type: "string" },
  },
});
const { quick, all, only, rounds, against } = flags;
const isFull = !quick && !only && !rounds && !flags.node && !against;
const versions = (flags.node ?? (quick ? "26" : "24,26")).split(",");
const wanted = only?.split(",");
const scenarios = Object.entries(scenariosOf(quick, all, versions.at(-1) ?? "")).filter(([name]) => {
  return wanted?.includes(name) ?? (!quick || name !== "oldest");
});
if (wanted && wanted.length > scenarios.length) throw new RangeError(`--only ${only}: there is no such scenario`);

const folder = import.meta.dirname;
mkdirSync(join(folder, "dist"), { recursive: true });
/** Below this folder, so that the packages are found; of this run alone. */
const dist = mkdtempSync(join(folder, "dist/run-"));
process.once("exit", () => rmSync(dist, { recursive: true, force: true }));

const results: Results = {
  command: ["npm run bench", ...(process.argv.length > 2 ? ["--", ...process.argv.slice(2)] : [])].join(" "),
  startedAt: Date.now(),
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
    for (const { label, measure } of rows.filter(({ isOurs }) => isOurs || !against)) {
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
  for (const page of ["../README.md", "../docs/benchmarks.md", "../docs/delivery.md"].map((name) =>
    join(folder, name),
  )) {
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
  const common = { platform: "node", format: "esm", target: "node20", logLevel: "warning" } as const;
  const settings: BuildOptions = { ...common, outdir: dist, outExtension: { ".js": ".mjs" } };
  const git = (...given: string[]) => execFileSync("git", given, { cwd: folder, encoding: "utf8", maxBuffer: 2 ** 24 });
  const sources = { file: join(folder, "../cloudwatch.ts"), ...(against && { against: join(dist, "against.ts") }) };
  if (sources.against) writeFileSync(sources.against, git("show", `${against}:cloudwatch.ts`));
  await build({ ...settings, entryPoints: sources }); // not bundled, as the package is built
  const entryPoints = ["worker.ts", "start.ts"].map((file) => join(folder, file));
  await build({ ...settings, entryPoints, bundle: true, packages: "external" });
  writeFileSync(join(dist, "empty.mjs"), "export {};\n");
  return new Map(
    Object.entries(sources).map(([name, path]) => {
      return [
        join(dist, `${name}.mjs`),
        `${name === "file" ? "" : `${against}, `}object ${git("hash-object", path).slice(0, 9)}`,
      ];
    }),
  );
}
