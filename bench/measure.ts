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
import { numberOf, poolItems } from "./records.ts";
import type { Figures, Task } from "./worker.ts";

/** `node`: the program of a version of Node.js. `file`: the compiled cloudwatch.ts; worker and start lie beside it. */
export type Measure = (node: string, file: string) => Promise<Figures>;

/** Nobody listens at the port of the discard protocol. */
const NOWHERE = "http://127.0.0.1:9";
/** A measurement that takes longer has failed. */
const TIMEOUT_MS = 180_000;
const TASK = { mode: "burst", candidate: "cwlogger", kind: "structured", events: 0, warmUp: 0, options: {} } as const;
const GOOD = "all, in order";
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
    const arrivals: [timestamp: number, number: number][] = [];
    globalThis.gc?.();
    await using service = await LocalCloudWatchLogs.start({
      answerFirst: true,
      keepEvents: false,
      onEvents: (_logGroupName, _logStreamName, events) => {
        for (const { timestamp, message } of events) arrivals.push([timestamp, numberOf(message)]);
      },
      ...options,
    });
    const spoolDirectory = mkdtempSync(join(home, "spool-"));
    const task: Task = { ...TASK, file, endpoint: service.endpoint, ...given };
    if (hasSpool) task.options = { ...task.options, spoolDirectory };
    const { maxEvents = Infinity, isLimit }: Candidate = CANDIDATES[task.candidate];
    if (task.events > maxEvents) Object.assign(task, { events: maxEvents, warmUp: 0 });
    if (task.mode === "recover") await work(node, { ...task, mode: "waiting", endpoint: NOWHERE });
    const figures = await work(node, task);
    rmSync(spoolDirectory, { recursive: true });
    if (isLimit || (task.mode !== "burst" && task.mode !== "steady")) return figures;
    service.settle();
    const { kind, events, warmUp, perSecond = 0, seconds = 0 } = task;
    const expected = warmUp + (perSecond * seconds || events);
    const arrived = service.violations[0] ?? judge(arrivals, expected, poolItems(kind));
    if (arrived !== GOOD && task.candidate === "cwlogger") throw new Error(`What arrived: ${arrived}`);
    return { ...figures, arrived };
  };
}

/** CloudWatch Logs orders by timestamp, and events of one millisecond as they came in. */
function judge(arrivals: [timestamp: number, number: number][], events: number, period: number): string {
  if (arrivals.length < events) return "some lost";
  if (arrivals.length > events) return "some twice";
  arrivals.sort(([a], [b]) => a - b);
  return arrivals.every(([, number], index) => number === index % period) ? GOOD : "out of order";
}

type Given = { module?: string; env?: Record<string, string>; delivers?: boolean };

/** A program of start.ts. `module`: imported instead of cwlogger. `delivers`: its event has to arrive. */
export function program(what: string, { module, env, delivers }: Given = {}): Measure {
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
    const quota = { PutLogEvents: fleet.putPerSecond, CreateLogStream: fleet.createPerSecond };
    await using service = await LocalCloudWatchLogs.start({ quota, delayMs: fleet.latencyMs[0] });
    service.createLogGroup(LOG_GROUP);
    const startAt = Date.now() + FLEET_START_MS;
    const part = { ...fleet, loggers: fleet.loggers / FLEET_PROCESSES };
    const options = { flushIntervalMs: fleet.flushIntervalMs };
    const task: Task = { ...TASK, mode: "fleet", file, endpoint: service.endpoint, options, fleet: part, startAt };
    const answers = await Promise.all(Array.from({ length: FLEET_PROCESSES }, () => work(node, task)));
    const calls = service.requests.map(({ receivedAt, answer }) => {
      return { at: receivedAt - startAt, isThrottled: answer?.errorName === "ThrottlingException" };
    });
    const stored = service.requests.findLast(({ events, answer }) => events && answer?.status === 200);
    const distinct = new Set(service.events(LOG_GROUP).map(({ message }) => message)).size;
    const lost = answers.reduce((sum, { logged }) => sum + Number(logged), 0) - distinct;
    if (lost > 0) throw new Error(`${lost} events were lost.`);
    return {
      ...fleetFigures(fleet, calls, (stored?.receivedAt ?? Infinity) - startAt),
      lost,
      twice: service.storedEvents - distinct,
      "held up s": Math.max(...answers.map(({ heldUpMs }) => Number(heldUpMs))) / 1_000,
    };
  };
}

/** The worst of some seeds. */
export function simulation(fleet: Fleet, change: Partial<typeof RULE> = {}): Measure {
  return async () => {
    const runs = Array.from({ length: SEEDS }, (_, index) => simulate(fleet, index + 1, change));
    const worst = (title: string) => Math.max(...runs.map((run) => Number(run[title])));
    return Object.fromEntries(Object.keys(runs[0] ?? {}).map((title) => [title, worst(title)]));
  };
}

async function work(node: string, task: Task): Promise<Figures> {
  const cpus = task.mode === "fleet" ? `0-${lastCpu}` : lastCpu; // one is too little for so many processes
  return JSON.parse(await run(node, task.file, "worker.mjs", [JSON.stringify(task)], {}, cpus));
}

/** What the process wrote. No channel to it, since that loads modules of Node.js before a measured import could. */
async function run(node: string, file: string, script: string, given: string[], more = {}, cpus = lastCpu) {
  const command = [node, "--expose-gc", join(dirname(file), script), ...given];
  const [program = "", ...rest] = isPinned ? ["taskset", "-c", cpus, ...command] : command;
  const env = { ...ENV, ...more };
  const child = spawn(program, rest, { env, stdio: ["ignore", "pipe", "pipe"], timeout: TIMEOUT_MS });
  const closed = once(child, "close");
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code, signal] = await closed;
  // A worker ends by SIGKILL, when it has written its figures.
  if (code === 0 || (signal === "SIGKILL" && output !== "")) return output;
  const how = signal === "SIGTERM" ? `No end within ${TIMEOUT_MS / 1_000} s` : `It ended with ${signal ?? code}`;
  throw new Error(`${how}: …${errors.slice(-600)}`);
}
