/**
 * A fleet of loggers under an account's quota: `node --import tsx bench/fleet.ts`, with `--quick` one run of each.
 *
 * Loggers in four processes start at the same moment, each with a log stream of its own, and all flush at the end. A local
 * service throttles PutLogEvents and CreateLogStream as an account's quota does. Two scenarios:
 *
 * - crowded: 200 loggers want twice the quota. Ideal: everything is stored when the last event is logged.
 * - steady: 80 loggers need 80 % of it. Counted when each log stream had the time to be created.
 *
 * Beside it the same, simulated (fleet-simulation.ts), and what other rules would do. "Held up" is how late a timer was at
 * worst: where that comes near a second, the machine was too busy, and the figures are the machine's.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { LocalCloudWatchLogs } from "../testing/local-cloudwatch.ts";
import { type Call, type RULE, type Scenario, simulate, throttledShare } from "./fleet-simulation.ts";
import type { FleetAnswer, FleetOrder } from "./fleet-worker.ts";

const PROCESSES = 4;
const SEEDS = 20;
const { values: flags } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
const runs = flags.quick ? 1 : 3;

const account = { flushIntervalMs: 1_000, putPerSecond: 100, createPerSecond: 50, latencyMs: [20, 60] as const };
const crowded: Scenario = { ...account, loggers: 200, perSecond: 5, forMs: 4_000 };
const steady: Scenario = { ...account, loggers: 80, perSecond: 5, forMs: flags.quick ? 12_000 : 30_000 };
const STEADY_FROM_MS = 6_000;

interface Result {
  calls: Call[];
  storedAt: number;
  lost: number;
  duplicates: number;
  heldUpMs: number;
}

console.log(
  `Node.js ${process.version}. Worst of ${runs} runs, or of ${SEEDS} simulated ones. Goals: throttled ≤ 40 %, steady 0 %,`,
);
console.log("stored within 1.5 × the ideal, none lost.\n");
console.log(`${"".padEnd(44)}throttled   stored after   × ideal   lost   twice   held up`);
show("crowded", crowded, await measured(crowded));
show("crowded, simulated", crowded, simulated(crowded));
show("  throttled batches resent as they were", crowded, simulated(crowded, { takesAlong: false }));
show("  batches fill for the pace, no longer", crowded, simulated(crowded, { fill: 1 }));
show("  the pace does not grow", crowded, simulated(crowded, { growth: 1 }));
show("  flush leaves pauses as they are", crowded, simulated(crowded, { flushPauseMs: [60_000, 60_000] }));
show("  flush ends pauses, all at once", crowded, simulated(crowded, { flushPauseMs: [0, 0] }));
show("steady", steady, await measured(steady), STEADY_FROM_MS);
show("steady, simulated", steady, simulated(steady), STEADY_FROM_MS);

function simulated(scenario: Scenario, change: Partial<typeof RULE> = {}): Result[] {
  return Array.from({ length: SEEDS }, (_, index) => ({
    ...simulate(scenario, index + 1, change),
    duplicates: 0,
    heldUpMs: 0,
  }));
}

async function measured(scenario: Scenario): Promise<Result[]> {
  const results: Result[] = [];
  while (results.length < runs) results.push(await run(scenario));
  return results;
}

async function run(scenario: Scenario): Promise<Result> {
  const { loggers, putPerSecond, createPerSecond, latencyMs } = scenario;
  const quota = { PutLogEvents: putPerSecond, CreateLogStream: createPerSecond };
  await using service = await LocalCloudWatchLogs.start({ quota, delayMs: latencyMs[0] });
  service.createLogGroup("fleet");
  const file = fileURLToPath(new URL("./fleet-worker.ts", import.meta.url));
  const env = { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" };
  const children = Array.from({ length: PROCESSES }, () => fork(file, { env }));
  await Promise.all(children.map((child) => once(child, "message")));
  const start = Date.now();
  const order: FleetOrder = { ...scenario, endpoint: service.endpoint, loggers: loggers / PROCESSES };
  const answers = await Promise.all(children.map((child) => ask(child, order)));
  for (const child of children) child.disconnect();
  const calls = service.requests.map(({ receivedAt, answer }) => ({
    at: receivedAt - start,
    isThrottled: answer?.errorName === "ThrottlingException",
  }));
  const stored = service.requests.filter(({ action, answer }) => action === "PutLogEvents" && answer?.status === 200);
  const messages = new Set(service.events("fleet").map(({ message }) => message));
  if (service.violations.length > 0) throw new Error(`limits broken: ${JSON.stringify(service.violations[0])}`);
  return {
    calls,
    storedAt: (stored.at(-1)?.receivedAt ?? Infinity) - start,
    lost: answers.reduce((sum, { logged }) => sum + logged, 0) - messages.size,
    duplicates: service.storedEvents - messages.size,
    heldUpMs: Math.max(...answers.map((answer) => answer.heldUpMs)),
  };
}

async function ask(child: ChildProcess, order: FleetOrder): Promise<FleetAnswer> {
  child.send(order);
  const [answer] = await once(child, "message");
  return answer as FleetAnswer;
}

function show(name: string, { forMs }: Scenario, results: Result[], from = 0): void {
  const worst = (figure: (result: Result) => number) => Math.max(...results.map(figure));
  const storedAt = worst((result) => result.storedAt);
  const cells = [
    `${(worst(({ calls }) => throttledShare(calls, from)) * 100).toFixed(1)} %`.padStart(9),
    `${(storedAt / 1_000).toFixed(1)} s`.padStart(15),
    (storedAt / forMs).toFixed(2).padStart(10),
    String(worst(({ lost }) => lost)).padStart(7),
    String(worst(({ duplicates }) => duplicates)).padStart(8),
    `${(worst(({ heldUpMs }) => heldUpMs) / 1_000).toFixed(1)} s`.padStart(10),
  ];
  console.log(name.padEnd(44) + cells.join(""));
}
