/**
 * A fleet of loggers under an account quota: `node --import tsx bench/fleet.ts`, which writes bench/fleet.json. With
 * `--quick` (75 s, writes nothing), `--only roomy`, `--processes 20` (the same loggers in more processes).
 *
 * A local service throttles PutLogEvents and CreateLogStream as an account's quota does. Hundreds of loggers in a few
 * processes start at the same moment. Two fleets run one after the other, each with a service of its own:
 *
 * - "roomy": as many loggers as can send a request a second (`flushIntervalMs`: 1000) within 80 % of the quota.
 * - "crowded": three times the quota. At one request a second each they would be throttled two times out of three;
 *   what they log fits only if they come to wait longer and send fuller batches.
 *
 * What counts against the quota is requests, so what it can carry is full batches: capacity = quota × BATCH_EVENTS
 * events per second, with `maxBatchEvents` set to BATCH_EVENTS, small, so that two cores can play a whole account.
 *
 * 1. start     All loggers log at 20 % of the capacity until each has delivered, and two seconds more.
 * 2. steady    80 % of the capacity, evenly over the loggers.
 * 3. overload  150 %.
 * 4. drain     Nothing more is logged; `flush()` of all. Ideal: undelivered events ÷ capacity.
 */
import { type ChildProcess, fork } from "node:child_process";
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { LocalCloudWatchLogs, type LocalRequest } from "../testing/local-cloudwatch.ts";
import type { FleetAnswer, FleetOrder } from "./fleet-worker.ts";

/** Events of a full batch. */
const BATCH_EVENTS = 10;
/** Goals of issue 3. */
const MAX_THROTTLED_SHARE = 0.1;
const MAX_TIMES_IDEAL = 1.3;
interface Fleet {
  name: string;
  loggers: number;
  processes: number;
  putPerSecond: number;
  createPerSecond: number;
  steadyMs: number;
  overloadMs: number;
  /** Longest time to wait for the start and for the drain. */
  patienceMs: number;
}

type Phase = "start" | "steady" | "overload" | "drain";

const { values: flags } = parseArgs({
  options: { quick: { type: "boolean", default: false }, only: { type: "string" }, processes: { type: "string" } },
});
const times = flags.quick
  ? { createPerSecond: 100, steadyMs: 8_000, overloadMs: 6_000, patienceMs: 10_000 }
  : { createPerSecond: 20, steadyMs: 20_000, overloadMs: 15_000, patienceMs: 90_000 };
const fleets: Fleet[] = [
  { name: "roomy", loggers: 80, processes: Number(flags.processes ?? 1), putPerSecond: 100, ...times },
  { name: "crowded", loggers: 300, processes: Number(flags.processes ?? 3), putPerSecond: 100, ...times },
].filter(({ name }) => flags.only === undefined || flags.only === name);

// One after the other: throttled requests cost the processor time as well.
const results: Awaited<ReturnType<typeof run>>[] = [];
for (const fleet of fleets) results.push(await run(fleet));
for (const { name, figures } of results) {
  console.log(`\n${name}`);
  for (const [what, value] of Object.entries(figures)) console.log(`  ${what.padEnd(48)} ${value}`);
}
if (Object.keys(flags).length === 1 && !flags.quick) {
  const all = Object.fromEntries(results.map(({ name, figures }) => [name, figures]));
  const text = JSON.stringify({ date: new Date().toISOString().slice(0, 10), node: process.version, ...all }, null, 2);
  writeFileSync(new URL("./fleet.json", import.meta.url), `${text}\n`);
}

async function run(fleet: Fleet): Promise<{ name: string; figures: Record<string, string | number> }> {
  const { name, loggers, processes, putPerSecond, createPerSecond } = fleet;
  const capacity = putPerSecond * BATCH_EVENTS;
  const quota = { PutLogEvents: putPerSecond, CreateLogStream: createPerSecond };
  await using service = await LocalCloudWatchLogs.start({ quota, delayMs: 20 });
  service.createLogGroup("fleet");
  const children = await Promise.all(
    Array.from({ length: processes }, (_, index) => {
      const share = Math.floor((loggers * (index + 1)) / processes) - Math.floor((loggers * index) / processes);
      return startChild(service.endpoint, share);
    }),
  );
  const tell = (order: FleetOrder) => Promise.all(children.map((child) => ask(child, order)));
  const logAt = (share: number) => tell({ op: "log", perSecond: (capacity * share) / loggers });
  const from = {} as Record<Phase | "end", number>;

  from.start = Date.now();
  await logAt(0.2);
  while (service.logStreams("fleet").length < loggers || firstDeliveries(service, from.start).length < loggers) {
    if (Date.now() - from.start > fleet.patienceMs) break;
    await sleep(100);
  }
  await sleep(2_000);
  from.steady = Date.now();
  const loggedBefore = sum(await logAt(0.8), "logged");
  await sleep(fleet.steadyMs);
  from.overload = Date.now();
  const loggedSteady = sum(await logAt(1.5), "logged") - loggedBefore;
  await sleep(fleet.overloadMs);
  from.drain = Date.now();
  const pending = sum(await logAt(0), "pending");
  const stats = await tell({ op: "flush", timeoutMs: fleet.patienceMs });
  from.end = Date.now();
  for (const child of children) child.disconnect();

  const logged = sum(stats, "logged");
  const left = sum(stats, "pending");
  const messages = new Set(service.events("fleet").map(({ message }) => message));
  const first = firstDeliveries(service, from.start).sort((a, b) => a - b);
  const waits = requestsIn(service, from.steady, from.overload)
    .filter(({ answer }) => answer?.status === 200)
    .flatMap(({ receivedAt, input }) =>
      (input.logEvents as { timestamp: number }[]).map(({ timestamp }) => receivedAt - timestamp),
    )
    .sort((a, b) => a - b);
  const drainMs = from.end - from.drain;
  const idealMs = (pending / capacity) * 1_000;
  const timesIdeal = drainMs / idealMs;
  const steady = throttledShare(service, from.steady, from.overload);
  const lost = Math.max(0, logged - left - messages.size); // what is left may have arrived meanwhile
  return {
    name,
    figures: {
      "loggers, processes": `${loggers}, ${processes}`,
      "quota: PutLogEvents/s, CreateLogStream/s": `${putPerSecond}, ${createPerSecond}`,
      "capacity, events/s": capacity,
      "first delivery: median, last": `${seconds(at(first, 0.5))}, ${seconds(at(first, 1))}`,
      "  ideal for the last (loggers ÷ CreateLogStream)": seconds((loggers / createPerSecond) * 1_000),
      "throttled in the start": percent(throttledShare(service, from.start, from.steady)),
      "throttled in the steady phase (80 %)": `${percent(steady)}, ${verdict(steady <= MAX_THROTTLED_SHARE)} ≤ 10 %`,
      "  its second half": percent(throttledShare(service, (from.steady + from.overload) / 2, from.overload)),
      "  waiting time of an event: median, p99": `${seconds(at(waits, 0.5))}, ${seconds(at(waits, 0.99))}`,
      "  delivered ÷ logged": percent(waits.length / loggedSteady),
      "throttled in the overload (150 %)": percent(throttledShare(service, from.overload, from.drain)),
      "throttled in the drain": percent(throttledShare(service, from.drain, from.end)),
      "undelivered when logging stopped, events": pending,
      "drained after": left === 0 ? seconds(drainMs) : `not in ${seconds(drainMs)}, ${left} events left`,
      "  ideal (events ÷ capacity)": seconds(idealMs),
      "  times the ideal": `${left > 0 ? "> " : ""}${timesIdeal.toFixed(2)}, ${verdict(left === 0 && timesIdeal <= MAX_TIMES_IDEAL)} ≤ 1.3`,
      "events logged": logged,
      "  lost": `${lost}, ${verdict(lost === 0)} none`,
      "  dropped, rejected, twice": `${sum(stats, "dropped")}, ${sum(stats, "rejected")}, ${service.storedEvents - messages.size}`,
      "limits of the service broken": service.violations.length,
    },
  };
}

/** A process with so many loggers, ready to begin. */
async function startChild(endpoint: string, loggers: number): Promise<ChildProcess> {
  const file = fileURLToPath(new URL("./fleet-worker.ts", import.meta.url));
  const env = { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" };
  const child = fork(file, [endpoint, String(loggers), String(BATCH_EVENTS)], { env });
  await new Promise((resolve) => child.once("message", resolve));
  return child;
}

function ask(child: ChildProcess, order: FleetOrder): Promise<FleetAnswer> {
  return new Promise((resolve) => {
    child.once("message", (answer) => resolve(answer as FleetAnswer));
    child.send(order);
  });
}

function sum(answers: FleetAnswer[], figure: keyof FleetAnswer): number {
  return answers.reduce((total, answer) => total + answer[figure], 0);
}

/** For each log stream, how long after the start its first events were stored. */
function firstDeliveries({ requests }: LocalCloudWatchLogs, start: number): number[] {
  const first = new Map<string, number>();
  for (const { action, answer, input, receivedAt } of requests) {
    if (action !== "PutLogEvents" || answer?.status !== 200 || first.has(input.logStreamName)) continue;
    first.set(input.logStreamName, receivedAt - start);
  }
  return [...first.values()];
}

function requestsIn({ requests }: LocalCloudWatchLogs, from: number, to: number): LocalRequest[] {
  return requests.filter(
    ({ action, receivedAt }) => action === "PutLogEvents" && receivedAt >= from && receivedAt < to,
  );
}

function throttledShare(service: LocalCloudWatchLogs, from: number, to: number): number {
  const all = requestsIn(service, from, to);
  const throttled = all.filter(({ answer }) => answer?.errorName === "ThrottlingException");
  return throttled.length / Math.max(1, all.length);
}

/** The value of sorted ones below which this share of them lies. */
function at(sorted: number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function verdict(isMet: boolean): string {
  return isMet ? "met:" : "NOT MET:";
}
