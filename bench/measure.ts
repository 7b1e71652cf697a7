/** One measurement: a local CloudWatch Logs in this process, on the first CPU; what is measured in others, on the last. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { LocalCloudWatchLogs, type LocalCloudWatchLogsOptions } from "../testing/local-cloudwatch.ts";
import { CANDIDATES, type Candidate, LOG_GROUP } from "./candidates.ts";
import { type Fleet, fleetFigures, type RULE, simulate } from "./fleet-simulation.ts";
import { numberOf, POOL_ITEMS } from "./records.ts";
import type { Figures, Task } from "./worker.ts";

/** `node`: the program of a version of Node.js. `file`: the compiled cloudwatch.ts; worker and start lie beside it. */
export type Measure = (node: string, file: string) => Promise<Figures>;

/** Nobody listens at the port of the discard protocol. */
const NOWHERE = "http://127.0.0.1:9";
/** A measurement that takes longer has failed. */
const TIMEOUT_MS = 180_000;
const TASK = { mode: "burst", candidate: "cwlogger", kind: "structured", events: 0, warmUp: 0, options: {} } as const;
const FLEET_PROCESSES = 4;
/** What the processes of a fleet have to get ready. */
const FLEET_START_MS = 8_000;
const SEEDS = 20;

const home = mkdtempSync(join(tmpdir(), "cwlogger-bench-"));
process.once("exit", () => rmSync(home, { recursive: true, force: true }));
/** Nothing of the user's: no settings for AWS, and no metadata service. */
const ENV = {
  PATH: process.env.PATH,
  HOME: home,
  AWS_EC2_METADATA_SERVICE_ENDPOINT: NOWHERE,
  AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true",
};
const lastCpu = String(availableParallelism() - 1);
export const isPinned = lastCpu !== "0" && spawnSync("taskset", ["-acp", "0", String(process.pid)]).status === 0;

/** A task of worker.ts. Of bursts and steady paces it is checked what arrived. */
export function task(given: Partial<Task>, options: LocalCloudWatchLogsOptions = {}, hasSpool = false): Measure {
  return async (node, file) => {
    const arrivals: Arrival[] = [];
    const onEvents: LocalCloudWatchLogsOptions["onEvents"] = (_logGroupName, _logStreamName, events) => {
      for (const { timestamp, message } of events) arrivals.push({ timestamp, number: numberOf(message) });
    };
    globalThis.gc?.();
    await using service = await LocalCloudWatchLogs.start({
      answerFirst: true,
      keepEvents: false,
      onEvents,
      ...options,
    });
    const folder = mkdtempSync(join(home, "spool-"));
    const { endpoint } = service;
    const task: Task = { ...TASK, file, endpoint, ...given };
    if (hasSpool) task.options = { ...task.options, spoolDirectory: folder };
    const { maxEvents = Infinity, isLimit }: Candidate = CANDIDATES[task.candidate];
    if (task.events > maxEvents) Object.assign(task, { events: maxEvents, warmUp: 0 });
    if (task.mode === "recover") await work(node, { ...task, mode: "waiting", endpoint: NOWHERE });
    const figures = await work(node, task);
    rmSync(folder, { recursive: true });
    if (isLimit || (task.mode !== "burst" && task.mode !== "steady")) return figures;
    service.settle();
    const { kind, events, warmUp, perSecond = 0, seconds = 0 } = task;
    const expected = warmUp + (perSecond * seconds || events);
    const numberAt = (index: number) => (typeof kind === "object" ? 0 : index % POOL_ITEMS);
    return { ...figures, arrived: service.violations[0] ?? judge(arrivals, expected, numberAt) };
  };
}

interface Arrival {
  timestamp: number;
  number: number;
}

/** CloudWatch Logs orders by timestamp, and events of one millisecond as they came in. */
function judge(arrivals: Arrival[], events: number, numberAt: (index: number) => number): string {
  if (arrivals.length < events) return "some lost";
  if (arrivals.length > events) return "some twice";
  arrivals.sort((a, b) => a.timestamp - b.timestamp);
  return arrivals.every(({ number }, index) => number === numberAt(index)) ? "all, in order" : "out of order";
}

interface Surroundings {
  /** What is imported, where it is not cwlogger. */
  module?: string;
  env?: Record<string, string>;
  /** The program's event has to arrive. */
  delivers?: boolean;
}

/** A program of start.ts. */
export function program(what: string, { module, env, delivers }: Surroundings = {}): Measure {
  return async (node, file) => {
    await using service = await LocalCloudWatchLogs.start();
    const began = Date.now();
    const output = await run(node, file, "start.mjs", [what, module ?? file, service.endpoint], env);
    if (what === "import") return JSON.parse(output);
    const figures: Figures = { "start to end ms": Date.now() - began };
    const put = service.requests.find(({ action }) => action === "PutLogEvents");
    if (delivers && !put) throw new Error("Its event did not arrive.");
    return put ? { ...figures, "first event ms": put.receivedAt - began } : figures;
  };
}

/** Loggers in four processes, each with a log stream of its own, at a service that throttles as an account's quota does. */
export function fleet(fleet: Fleet): Measure {
  return async (node, file) => {
    const { flushIntervalMs, putPerSecond, createPerSecond, latencyMs } = fleet;
    const quota = { PutLogEvents: putPerSecond, CreateLogStream: createPerSecond };
    await using service = await LocalCloudWatchLogs.start({ quota, delayMs: latencyMs[0] });
    service.createLogGroup(LOG_GROUP);
    const startAt = Date.now() + FLEET_START_MS;
    const part = { ...fleet, loggers: fleet.loggers / FLEET_PROCESSES };
    const options = { flushIntervalMs };
    const task: Task = { ...TASK, mode: "fleet", file, endpoint: service.endpoint, options, fleet: part, startAt };
    const answers = await Promise.all(Array.from({ length: FLEET_PROCESSES }, () => work(node, task)));
    const sum = (title: string) => answers.reduce((total, answer) => total + Number(answer[title]), 0);
    const calls = service.requests.map(({ receivedAt, answer }) => {
      return { at: receivedAt - startAt, isThrottled: answer?.errorName === "ThrottlingException" };
    });
    const stored = service.requests.findLast(
      ({ action, answer }) => action === "PutLogEvents" && answer?.status === 200,
    );
    const distinct = new Set(service.events(LOG_GROUP).map(({ message }) => message)).size;
    return {
      ...fleetFigures(fleet, calls, (stored?.receivedAt ?? Infinity) - startAt),
      lost: sum("logged") - distinct,
      twice: service.storedEvents - distinct,
      "held up s": Math.max(...answers.map(({ heldUpMs }) => Number(heldUpMs))) / 1_000,
    };
  };
}

/** The worst of some seeds. */
export function simulation(fleet: Fleet, change: Partial<typeof RULE> = {}): Measure {
  return async () => {
    const runs = Array.from({ length: SEEDS }, (_, index) => simulate(fleet, index + 1, change));
    const titles = Object.keys(runs[0] ?? {});
    return Object.fromEntries(titles.map((title) => [title, Math.max(...runs.map((run) => Number(run[title])))]));
  };
}

async function work(node: string, task: Task): Promise<Figures> {
  return JSON.parse(await run(node, task.file, "worker.mjs", [JSON.stringify(task)]));
}

/** What the process wrote. No channel to it, since that loads modules of Node.js before a measured import could. */
async function run(node: string, file: string, script: string, given: string[], more = {}): Promise<string> {
  const command = [node, "--expose-gc", join(dirname(file), script), ...given];
  const [program = "", ...rest] = isPinned ? ["taskset", "-c", lastCpu, ...command] : command;
  const child = spawn(program, rest, {
    env: { ...ENV, ...more },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: TIMEOUT_MS,
  });
  const closed = once(child, "close");
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code, signal] = await closed;
  // A worker ends by SIGKILL, when it has written its figures.
  if (code === 0 || (signal === "SIGKILL" && output !== "")) return output;
  throw new Error(`It ended with ${signal ?? code} (SIGTERM: after ${TIMEOUT_MS / 1_000} s): …${errors.slice(-600)}`);
}
