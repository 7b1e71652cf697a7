/**
 * The benchmark: `npm run bench`. With ` -- ` between: `--quick` (a minute), `--only burst,calls` (scenarios),
 * `--row cwlogger --row "plain SDK logger"` (rows), `--rounds 9`,
 * `--profile` (where the time of a burst goes, and a .cpuprofile of each in bench/dist/profiles).
 *
 * Each measurement is a process of its own, pinned to one CPU, that logs into a local CloudWatch Logs in another
 * process on another CPU. Rounds are interleaved: every candidate of every scenario is measured once before any is
 * measured again, so that a slow moment of the machine does not hit one of them alone.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type BuildOptions, build } from "esbuild";
import { candidateOf } from "./candidates.ts";
import { sharesOf } from "./profile.ts";
import { type Profiles, type Results, type Row, writeReport } from "./report.ts";
import { type Measurement, type Scenario, scenariosOf } from "./scenarios.ts";
import type { Arrival, Order } from "./server.ts";
import type { Answer, Figures, Task } from "./worker.ts";

/** Fewer rounds are no result to publish. */
const FULL_ROUNDS = 5;
/** A measurement that takes longer is given up and noted. */
const MEASUREMENT_TIMEOUT_MS = 180_000;
/** Scenarios of which one row is profiled. */
const PROFILED = new Map([
  ["burst", "cwlogger"],
  ["text", "cwlogger"],
  ["classes", "cwlogger: CJK"],
  ["spool", "cwlogger, spoolDirectory"],
]);

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    row: { type: "string", multiple: true },
    rounds: { type: "string" },
    profile: { type: "boolean", default: false },
  },
});
const folder = fileURLToPath(new URL(".", import.meta.url));
const dist = join(folder, "dist");
const devNull = openSync("/dev/null", "w");
const startedAt = Date.now();
const temporary = mkdtempSync(join(tmpdir(), "cwlogger-bench-"));

await compile();
const tls = makeCertificate();
const isPinned = canPin();
const env = {
  ...process.env,
  AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true",
  ...(tls && { NODE_EXTRA_CA_CERTS: join(temporary, "cert.pem") }),
};
const server = startProcess("server.mjs", 0, []);
server.stderr?.pipe(process.stderr);
server.once("exit", (code) => process.exit(code ?? undefined)); // without it nobody would answer
try {
  await main();
} finally {
  server.kill();
  rmSync(temporary, { recursive: true, force: true });
}

async function main(): Promise<void> {
  const { row: wanted } = flags;
  const only = flags.only?.split(",");
  const rounds = Number(flags.rounds ?? (flags.quick ? 1 : FULL_ROUNDS));
  const scenarios = scenariosOf(flags.quick, rounds)
    .filter(({ name }) => !only || only.includes(name))
    .map((all) => ({ ...all, measurements: all.measurements.filter(({ row }) => !wanted || wanted.includes(row)) }))
    .filter(({ measurements }) => measurements.length > 0);
  const results: Results = new Map(scenarios.map((scenario) => [scenario.name, { scenario, rows: new Map() }]));
  for (let round = 0; scenarios.some(({ rounds }) => round < rounds); round++) {
    for (const scenario of scenarios.filter(({ rounds }) => round < rounds)) {
      console.error(`round ${round + 1} of ${scenario.rounds}: ${scenario.title}`);
      const start = performance.now();
      for (const measurement of scenario.measurements) await addRound(results, scenario, measurement);
      console.error(`  ${((performance.now() - start) / 1_000).toFixed(1)} s`);
    }
  }
  const command = ["npm run bench", ...(process.argv.length > 2 ? ["--", ...process.argv.slice(2)] : [])].join(" ");
  const isFull = !flags.quick && !only && !wanted && rounds >= FULL_ROUNDS;
  const profiles = isFull || flags.profile ? await profileAll(scenarios) : new Map();
  const target = isFull ? folder : dist; // only a full run replaces the results in the repository
  console.log(writeReport(target, results, profiles, { command, startedAt, isPinned }));
  console.error(`Written to ${target}`);
}

async function addRound(results: Results, scenario: Scenario, measurement: Measurement): Promise<void> {
  const { rows } = results.get(scenario.name) as { rows: Map<string, Row> };
  const row = rows.get(measurement.row) ?? { measurement, rounds: [], notes: new Set() };
  rows.set(measurement.row, row);
  if (row.notes.size > 0 && row.rounds.length === 0) return; // not available, or it did not finish
  try {
    row.rounds.push(await measure(measurement));
  } catch (error) {
    row.notes.add(error instanceof Error ? error.message : String(error));
  }
}

/** Once more with a profile, which costs time of its own: bursts of cwlogger, of the kinds whose goals are hardest. */
async function profileAll(scenarios: Scenario[]): Promise<Profiles> {
  const folder = join(dist, "profiles");
  rmSync(folder, { recursive: true, force: true });
  const profiles: Profiles = new Map();
  for (const { name, title, measurements } of scenarios) {
    const row = PROFILED.get(name);
    const measurement = measurements.find((one) => one.row === row);
    if (measurement === undefined) continue;
    const path = join(folder, `${name}.cpuprofile`);
    await measure(measurement, ["--cpu-prof", `--cpu-prof-dir=${folder}`, `--cpu-prof-name=${name}.cpuprofile`]);
    profiles.set(name === "classes" ? "CJK" : title, sharesOf(path));
  }
  return profiles;
}

async function measure(measurement: Measurement, nodeOptions: string[] = []): Promise<Figures> {
  const { candidate, task: given, module, service = {}, hasTls, hasSpool } = measurement;
  if (hasTls && !tls) throw new Error("not available: no openssl to make a certificate");
  const { maxEvents = Infinity, role } = candidateOf(candidate);
  const spoolDirectory = hasSpool ? mkdtempSync(join(temporary, "spool-")) : undefined;
  const task: Task = {
    mode: "burst",
    candidate,
    kind: "structured",
    events: 0,
    warmUp: 0,
    ...given,
    ...(spoolDirectory !== undefined && { cwlogger: { spoolDirectory } }),
    endpoint: "",
  };
  if (task.mode === "burst" && task.events > maxEvents) Object.assign(task, { events: maxEvents, warmUp: 0 });
  const events = task.events + task.warmUp;
  const options = { ...service, ...(hasTls && tls && { tls }) };
  const { endpoint } = await order<{ endpoint: string }>({ op: "start", kind: task.kind, events, options });
  try {
    if (module !== undefined) return measureStart(module, endpoint);
    const figures = await runTask({ ...task, endpoint }, nodeOptions);
    const isChecked = role !== "limit" && (task.mode === "burst" || task.mode === "steady");
    if (!isChecked) return figures;
    const { firstViolation, ...arrival } = await order<Arrival>({ op: "stop" });
    if (firstViolation) console.error(`  ${candidate}: ${firstViolation}`);
    return { ...figures, ...arrival, wireBytesPerEvent: arrival.wireBytes / events };
  } finally {
    await order({ op: "stop" });
  }
}

/** Runs a measured process and returns its figures. */
function runTask(task: Task, nodeOptions: string[]): Promise<Figures> {
  const child = startProcess("worker.mjs", 1, [JSON.stringify(task)], nodeOptions);
  let errors = "";
  child.stderr?.on("data", (chunk) => {
    errors = (errors + chunk).slice(0, 2_000);
  });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`not finished after ${MEASUREMENT_TIMEOUT_MS / 1_000} s`));
      child.kill("SIGKILL");
    }, MEASUREMENT_TIMEOUT_MS);
    child.on("message", async (answer: Answer) => {
      if (answer.figures) resolve(answer.figures);
      else if (answer.notAvailable !== undefined) reject(new Error(`not available: ${answer.notAvailable}`));
      else child.send(await order<object>({ op: "settle" }));
    });
    child.on("exit", (code, signal) => {
      clearTimeout(timer);
      if (errors) console.error(`  ${task.candidate}: ${errors.trim().split("\n").slice(0, 8).join("\n  ")}`);
      reject(new Error(`ended without figures (${code ?? signal})`));
    });
  });
}

/** Orders are answered one by one. */
function order<T>(what: Order): Promise<T> {
  return new Promise((resolve) => {
    server.once("message", (answer) => resolve(answer as T));
    server.send(what);
  });
}

function startProcess(file: string, cpu: 0 | 1, given: string[], nodeOptions: string[] = []): ChildProcess {
  const [program = "", ...rest] = pinned(cpu, [file, ...given], nodeOptions);
  return spawn(program, rest, { stdio: ["ignore", devNull, "pipe", "ipc"], env });
}

/** The service runs on the first CPU, what is measured on the last. */
function pinned(cpu: 0 | 1, [file = "", ...given]: string[], nodeOptions: string[] = []): string[] {
  const node = [process.execPath, "--expose-gc", ...nodeOptions, join(dist, file), ...given];
  return isPinned ? ["taskset", "-c", String(cpu === 0 ? 0 : availableParallelism() - 1), ...node] : node;
}

function canPin(): boolean {
  try {
    execFileSync("taskset", ["-c", "0", "true"], { stdio: "ignore" });
    return availableParallelism() > 1;
  } catch {
    return false;
  }
}

/** JavaScript from TypeScript, so that no loader is in a measured process; packages stay what npm installed. */
async function compile(): Promise<void> {
  mkdirSync(dist, { recursive: true });
  const settings: BuildOptions = {
    outdir: dist,
    outExtension: { ".js": ".mjs" },
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "warning",
  };
  // As the package is built.
  await build({ ...settings, entryPoints: [join(folder, "../cloudwatch.ts")] });
  const entryPoints = ["worker.ts", "start.ts", "server.ts"].map((file) => join(folder, file));
  await build({ ...settings, entryPoints, bundle: true, packages: "external" });
  writeFileSync(join(dist, "empty.mjs"), "export {};\n");
}

/** No channel to this process, since that loads modules of Node.js before the measured import could. */
function measureStart(module: string, endpoint: string): Figures {
  const path = module.startsWith("./") ? new URL(module, new URL("./dist/", import.meta.url)).href : module;
  const [file = "", ...given] = pinned(1, ["start.mjs", path, endpoint]);
  return JSON.parse(execFileSync(file, given, { encoding: "utf8", env, stdio: ["ignore", "pipe", "ignore"] }));
}

function makeCertificate(): { key: string; cert: string } | undefined {
  const [key, cert] = [join(temporary, "key.pem"), join(temporary, "cert.pem")];
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
  try {
    execFileSync(
      "openssl",
      ["req", "-x509", ...curve, "-nodes", "-days", "2", ...subject, "-keyout", key, "-out", cert],
      {
        stdio: "ignore",
      },
    );
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } catch {
    return undefined;
  }
}
