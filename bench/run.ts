/**
 * The benchmark: `npm run bench`, and behind ` -- `:
 *   --quick                a minute, on Node.js 26              --all         every peer, for the record
 *   --only burst,steady    scenarios, see scenarios.ts          --rounds 9    instead of each scenario's own number
 *   --node 24,26           versions of Node.js, by npx          --file PATH   instead of ../cloudwatch.ts
 *   --against PATH|COMMIT  two versions of cloudwatch.ts in turns, and the ratio of each figure
 *
 * Each measurement is a process of its own, pinned to the last CPU, that logs into a local CloudWatch Logs in another
 * process on the first. What is compared is measured in turns, so that a slow moment of the machine hits all of it.
 * A run of everything writes RESULTS.md, and the figures of it that README.md and docs/benchmarks.md show.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { type BuildOptions, build } from "esbuild";
import { CANDIDATES, type Candidate } from "./candidates.ts";
import { type Measured, reportOf, withFigures } from "./report.ts";
import { NOWHERE, type Program, type Row, scenariosOf } from "./scenarios.ts";
import type { Arrival, Order } from "./server.ts";
import type { Figures, Task } from "./worker.ts";

/** A measurement that takes longer is given up and noted. */
const MEASUREMENT_TIMEOUT_MS = 180_000;
/** What a full run also measures on the oldest Node.js, for a line below the table. */
const FOOTNOTE = { node: "20", rounds: 2, scenarios: ["burst", "strings", "calls", "import"] };

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    all: { type: "boolean", default: false },
    only: { type: "string" },
    rounds: { type: "string" },
    node: { type: "string" },
    file: { type: "string", default: join(import.meta.dirname, "../cloudwatch.ts") },
    against: { type: "string" },
  },
});
const folder = import.meta.dirname;
mkdirSync(join(folder, "dist"), { recursive: true });
/** Below this folder, so that the packages are found; of this run alone. */
const dist = mkdtempSync(join(folder, "dist/run-"));
const startedAt = Date.now();
const temporary = mkdtempSync(join(tmpdir(), "cwlogger-bench-"));
const isPinned = availableParallelism() > 1 && spawnSync("taskset", ["-c", "0", "true"]).status === 0;
const nodes = new Map<string, string>();
const files = await compile();
/** Nothing of the user's: no settings for AWS, and no metadata service. */
const env = {
  PATH: process.env.PATH,
  HOME: temporary,
  AWS_EC2_METADATA_SERVICE_ENDPOINT: NOWHERE,
  AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true",
};
const server = start(process.execPath, 0, "server.mjs", [], ["ignore", "ignore", "inherit", "ipc"]);
server.once("exit", (code) => process.exit(code ?? 1)); // without it nobody would answer
try {
  await main();
} finally {
  server.removeAllListeners("exit");
  server.kill();
  for (const path of [temporary, dist]) rmSync(path, { recursive: true, force: true });
}

async function main(): Promise<void> {
  const isFull = !flags.quick && !flags.only && !flags.against && !flags.rounds;
  const versions = (flags.node ?? (flags.quick ? "26" : "24,26")).split(",");
  for (const node of [...versions, ...(isFull ? [FOOTNOTE.node] : [])]) nodes.set(node, nodeOf(node));
  const scenarios = Object.entries(scenariosOf(flags.quick, flags.all))
    .filter(([name]) => flags.only?.split(",").includes(name) ?? true)
    .map(([name, all]) => ({ name, ...all, rows: all.rows.filter(({ isOurs }) => isOurs || !flags.against) }));
  const measured: Measured = new Map();
  for (const { name, rows, rounds = 3 } of scenarios) {
    const began = Date.now();
    const wanted = Number(flags.rounds ?? (flags.quick ? 1 : rounds));
    for (let round = 0; round < wanted; round++) {
      const hasFootnote = isFull && FOOTNOTE.scenarios.includes(name) && round < FOOTNOTE.rounds;
      for (const row of rows) {
        for (const node of versions) {
          const turns = round % 2 === 0 ? [...files.keys()] : [...files.keys()].reverse();
          for (const file of turns) await addRound(measured, name, row, node, file);
        }
        if (hasFootnote && row.label === "cwlogger") await addRound(measured, name, row, FOOTNOTE.node, "file.mjs");
      }
    }
    console.error(`${name}: ${((Date.now() - began) / 1_000).toFixed(0)} s`);
  }
  const command = ["npm run bench", ...(process.argv.length > 2 ? ["--", ...process.argv.slice(2)] : [])].join(" ");
  const results = reportOf(scenarios, measured, { command, startedAt, isPinned, nodes, versions, files });
  console.log(results);
  if (!isFull) return;
  writeFileSync(join(folder, "RESULTS.md"), results);
  for (const page of ["../README.md", "../docs/benchmarks.md"].map((name) => join(folder, name)).filter(existsSync)) {
    writeFileSync(page, withFigures(readFileSync(page, "utf8"), results));
  }
}

async function addRound(measured: Measured, scenario: string, row: Row, node: string, file: string): Promise<void> {
  const key = [scenario, row.label, node, file].join("\n");
  const cell = measured.get(key) ?? { rounds: [], notes: new Set() };
  measured.set(key, cell);
  if (cell.notes.has("failed")) return;
  const { endpoint } = await order<{ endpoint: string }>({ op: "start", options: row.service ?? {} });
  let figures: Figures | undefined;
  let events: number | undefined;
  const [program, path, began] = [nodes.get(node) as string, join(dist, file), Date.now()];
  try {
    if (row.program) figures = await runProgram(row.program, program, path, endpoint);
    else [figures, events] = await runTask(row, program, path, endpoint);
  } catch (error) {
    console.error(`${key.replaceAll("\n", ", ")}: ${error instanceof Error ? error.message : error}`);
    cell.notes.add("failed");
  }
  const { arrived, firstAt } = await order<Arrival>({ op: "stop", events });
  if (figures) cell.rounds.push(figures);
  if (figures && row.program && firstAt !== undefined) figures["first event ms"] = firstAt - began;
  if (arrived !== undefined) cell.notes.add(arrived);
}

/** No channel to this process, since that loads modules of Node.js before the measured import could. */
async function runProgram(program: Program, node: string, file: string, endpoint: string): Promise<Figures> {
  const given = [program.what, program.module ?? file, program.endpoint ?? endpoint];
  const began = Date.now();
  const child = start(node, 1, "start.mjs", given, ["ignore", "pipe", "ignore"], program.env);
  const [output] = await Promise.all([text(child.stdout as NodeJS.ReadableStream), once(child, "close")]);
  return program.what === "import" ? JSON.parse(output) : { "start to end ms": Date.now() - began };
}

/** The figures, and how many events are to arrive, where that is to be checked. */
async function runTask(row: Row, node: string, file: string, endpoint: string): Promise<[Figures, number?]> {
  const spoolDirectory = row.hasSpool ? mkdtempSync(join(temporary, "spool-")) : undefined;
  const options = { ...row.task?.options, ...(spoolDirectory && { spoolDirectory }) };
  const defaults = { mode: "burst", candidate: "cwlogger", kind: "structured", events: 0, warmUp: 0 } as const;
  const task: Task = { ...defaults, steps: [], seconds: 0, ...row.task, options, file, endpoint };
  const { maxEvents = Infinity, isLimit }: Candidate = CANDIDATES[task.candidate];
  if (task.events > maxEvents) Object.assign(task, { events: maxEvents, warmUp: 0 });
  try {
    if (task.mode === "recover") await work(node, { ...task, mode: "fillSpool", endpoint: NOWHERE });
    const figures = await work(node, task);
    return task.mode === "burst" && !isLimit ? [figures, task.events + task.warmUp] : [figures];
  } finally {
    if (spoolDirectory) rmSync(spoolDirectory, { recursive: true, force: true });
  }
}

/** Runs a measured process and returns its figures. */
async function work(node: string, task: Task): Promise<Figures> {
  const child = start(node, 1, "worker.mjs", [JSON.stringify(task)], ["ignore", "ignore", "pipe", "ipc"]);
  let figures: Figures | undefined;
  child.on("message", (given: Figures) => {
    figures = given;
  });
  const [errors] = await Promise.all([text(child.stderr as NodeJS.ReadableStream), once(child, "close")]);
  if (figures === undefined) throw new Error(`no figures: …${errors.slice(-600)}`);
  return figures;
}

type Stdio = ("ignore" | "inherit" | "pipe" | "ipc")[];

/** The service runs on the first CPU, what is measured on the last. */
function start(node: string, cpu: 0 | 1, file: string, given: string[], stdio: Stdio, more = {}): ChildProcess {
  const command = [node, "--expose-gc", join(dist, file), ...given];
  const last = String(availableParallelism() - 1);
  const [program = "", ...rest] = isPinned ? ["taskset", "-c", cpu === 0 ? "0" : last, ...command] : command;
  const limit = cpu === 0 ? {} : { timeout: MEASUREMENT_TIMEOUT_MS, killSignal: "SIGKILL" as const };
  return spawn(program, rest, { stdio, env: { ...env, ...more }, ...limit });
}

/** Orders are answered one by one. */
async function order<T>(what: Order): Promise<T> {
  server.send(what);
  const [answer] = await once(server, "message");
  return answer;
}

/** The program of a version of Node.js, from npm. */
function nodeOf(version: string): string {
  const given = ["-y", "-p", `node@${version}`, "node", "-p", "process.execPath"];
  return execFileSync("npx", given, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
}

/** JavaScript from TypeScript, so that no loader is in a measured process; packages stay what npm installed. */
async function compile(): Promise<Map<string, string>> {
  const common = { platform: "node", format: "esm", target: "node20", logLevel: "warning" } as const;
  const settings: BuildOptions = { ...common, outdir: dist, outExtension: { ".js": ".mjs" } };
  const sources: Record<string, string> = { file: resolve(flags.file) };
  if (flags.against && existsSync(flags.against)) sources.against = resolve(flags.against);
  else if (flags.against) {
    sources.against = join(temporary, "against.ts");
    const git = ["show", `${flags.against}:cloudwatch.ts`];
    writeFileSync(sources.against, execFileSync("git", git, { cwd: folder, maxBuffer: 2 ** 24 }));
  }
  await build({ ...settings, entryPoints: sources }); // not bundled, as the package is built
  const entryPoints = ["worker.ts", "start.ts", "server.ts"].map((file) => join(folder, file));
  await build({ ...settings, entryPoints, bundle: true, packages: "external" });
  writeFileSync(join(dist, "empty.mjs"), "export {};\n");
  // The object's id is what `git rev-parse COMMIT:cloudwatch.ts` tells.
  const idOf = (path: string) => execFileSync("git", ["hash-object", path], { encoding: "utf8" }).slice(0, 9);
  const names: Record<string, string | undefined> = { file: basename(flags.file), against: flags.against };
  return new Map(Object.entries(sources).map(([key, path]) => [`${key}.mjs`, `${names[key]}, object ${idOf(path)}`]));
}
