/** The measured process: does one task, given as JSON in its arguments, and sends the figures to its parent. */
import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import type { CloudwatchLoggerOptions } from "../cloudwatch.ts";
import { ACCESS, type CandidateName, CWLOGGER, candidateOf, LOG_GROUP, type Logger } from "./candidates.ts";
import { type Item, type Kind, makePool, renumber } from "./records.ts";

export interface Task {
  mode: "burst" | "steady" | "calls" | "spool calls" | "disabled calls" | "full queue";
  endpoint: string;
  candidate: CandidateName;
  kind: Kind;
  /** Events of the measured burst; more go before it, see `warmUp`. */
  events: number;
  /** Events that are logged before anything is measured. */
  warmUp: number;
  /** Events after which the service is told to look at what it got, outside of the measured time. */
  settleEvery?: number;
  cwlogger?: CloudwatchLoggerOptions;
  perSecond?: number;
  seconds?: number;
  rounds?: number;
}

/** The figures of one task by name; the unit is in the name. */
export type Figures = Record<string, number>;

/** What a measured process tells: its figures, that it cannot, or that the service should settle. */
export interface Answer {
  figures?: Figures;
  notAvailable?: string;
}

/** Events that are logged without looking left and right. */
const SLICE_EVENTS = 1_000;
const LARGE_SLICE_EVENTS = 10;
/** To ask for the RSS takes up to 0.3 ms. */
const RSS_INTERVAL_MS = 30;
const DEFAULTS = { batchEvents: 0, pauseMs: 0, isText: false };

const task = JSON.parse(process.argv[2] ?? "{}") as Task;
const MODES: Record<Task["mode"], () => Promise<Figures>> = {
  burst,
  steady,
  calls,
  "spool calls": spoolCalls,
  "disabled calls": disabledCalls,
  "full queue": fullQueue,
};
answer({ figures: await MODES[task.mode]() });

// ── Burst ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** As fast as the logger takes events without losing any, until the last one is answered. */
async function burst(): Promise<Figures> {
  const { settleEvery = Infinity, events, warmUp, kind } = task;
  const pool = makePool(kind);
  collectGarbage();
  const emptyMb = rssMb();
  const logger = await openLogger();
  let peakMb = 0;
  let sampledAt = 0;
  let index = 0;

  async function log(count: number): Promise<void> {
    const { maxPending } = candidateOf(task.candidate);
    const sliceEvents = kind === "large" ? LARGE_SLICE_EVENTS : SLICE_EVENTS;
    const maxWaiting = kind === "large" ? maxPending / 100 : maxPending;
    for (const end = index + count; index < end; ) {
      for (const sliceEnd = Math.min(end, index + sliceEvents); index < sliceEnd; index++) {
        logger.log(itemAt(pool, index));
      }
      if (performance.now() - sampledAt > RSS_INTERVAL_MS) {
        sampledAt = performance.now();
        peakMb = Math.max(peakMb, rssMb());
      }
      await turn();
      while (logger.pending() > maxWaiting) await sleep(1);
    }
  }

  await log(warmUp);
  if (warmUp > 0) await logger.flush();
  const loadedMb = rssMb();
  peakMb = loadedMb;
  let [wallMs, cpuMs, mainMs, firstPeakMb] = [0, 0, 0, 0];
  for (let done = 0; done < events; ) {
    const count = Math.min(settleEvery, events - done);
    const stop = startClock();
    await log(count);
    done += count;
    await logger.flush();
    peakMb = Math.max(peakMb, rssMb());
    const spent = stop();
    wallMs += spent.wallMs;
    cpuMs += spent.cpuMs;
    mainMs += spent.mainMs;
    firstPeakMb ||= peakMb;
    if (done < events) await settle();
  }
  return {
    eventsPerSecond: (events / wallMs) * 1_000,
    cpuMicrosPerEvent: (cpuMs / events) * 1_000,
    mainMicrosPerEvent: (mainMs / events) * 1_000,
    loadMb: loadedMb - emptyMb,
    burstMb: peakMb - loadedMb,
    firstMb: firstPeakMb - loadedMb,
  };
}

// ── Steady ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** So many events per second, evenly, for so many seconds after some that are not measured. */
async function steady(): Promise<Figures> {
  const { perSecond = 1_000, seconds = 2 } = task;
  const pool = makePool(task.kind);
  const logger = await openLogger();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  let index = 0;
  const start = performance.now();
  const timer = setInterval(() => {
    const due = Math.min(events, Math.floor(((performance.now() - start) / 1_000) * perSecond));
    for (; index < due; index++) logger.log(itemAt(pool, index));
  }, 1);
  const events = task.events;
  await sleep((events / perSecond - seconds) * 1_000);
  const stop = startClock();
  delay.enable();
  await sleep(seconds * 1_000);
  delay.disable();
  const { wallMs, cpuMs } = stop();
  const behind = logger.pending();
  while (index < events) await sleep(1);
  clearInterval(timer);
  await logger.flush();
  return {
    cpuPercent: (cpuMs / wallMs) * 100,
    delayP50Ms: delay.percentile(50) / 1e6,
    delayP99Ms: delay.percentile(99) / 1e6,
    delayMaxMs: delay.max / 1e6,
    pendingEvents: behind,
  };
}

// ── One call ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Blocks of calls and blocks of JSON.stringify of the same records in turns; what is sent is sent between them. */
async function calls(): Promise<Figures> {
  const logger = await openLogger();
  const stringifier = await candidateOf("JSON.stringify").open("", DEFAULTS);
  const [callNanos = 0, stringifyNanos = 0] = await interleave([logger, stringifier]);
  await logger.flush();
  return { callNanos, otherNanos: stringifyNanos, ratio: callNanos / stringifyNanos };
}

/** The same for a logger with a spool and one without. */
async function spoolCalls(): Promise<Figures> {
  const plain = await candidateOf("cwlogger").open(task.endpoint, DEFAULTS);
  const spooling = await openLogger();
  const [spoolNanos = 0, callNanos = 0] = await interleave([spooling, plain]);
  await Promise.all([plain.flush(), spooling.flush()]);
  return { callNanos: spoolNanos, otherNanos: callNanos, ratio: spoolNanos / callNanos };
}

/** A call below the threshold and an empty function, in turns. */
async function disabledCalls(): Promise<Figures> {
  const { CloudwatchLogger } = (await import(CWLOGGER)) as typeof import("../cloudwatch.ts");
  const logger = new CloudwatchLogger(LOG_GROUP, { ...ACCESS, endpoint: task.endpoint });
  const empty = { debug(_message: unknown, _fields?: object) {} };
  const disabledNanos: number[] = [];
  const emptyNanos: number[] = [];
  const pool = makePool(task.kind);
  const repeats = 100;
  for (let block = 0; block < (task.rounds ?? 40); block++) {
    for (const [target, nanos] of [
      [logger, disabledNanos],
      [empty, emptyNanos],
    ] as const) {
      const start = process.hrtime.bigint();
      for (let repeat = 0; repeat < repeats; repeat++) {
        for (const { message, fields } of pool) target.debug(message, fields);
      }
      nanos.push(Number(process.hrtime.bigint() - start) / (repeats * pool.length));
    }
  }
  const [disabled, nothing] = [median(disabledNanos), median(emptyNanos)];
  return { callNanos: disabled, otherNanos: nothing, addedNanos: disabled - nothing, ratio: disabled / nothing };
}

/** Median nanoseconds of a call to each logger. The first blocks warm up. */
async function interleave(loggers: Logger[]): Promise<number[]> {
  const pool = makePool(task.kind);
  const nanos: number[][] = loggers.map(() => []);
  const blocks = task.events / SLICE_EVENTS;
  const warmUpBlocks = task.warmUp / SLICE_EVENTS;
  for (let block = 0; block < blocks + warmUpBlocks; block++) {
    const turns = block % 2 === 0 ? loggers.keys() : [...loggers.keys()].reverse();
    for (const which of turns) {
      const logger = loggers[which] as Logger;
      const start = process.hrtime.bigint();
      const first = block * SLICE_EVENTS;
      for (let index = first; index < first + SLICE_EVENTS; index++) logger.log(itemAt(pool, index));
      const spent = Number(process.hrtime.bigint() - start) / SLICE_EVENTS;
      if (block >= warmUpBlocks) nanos[which]?.push(spent);
      await turn();
    }
    // Every few blocks everything is sent, so that the blocks measure calls and nothing else.
    if (block % 3 === 2) while (loggers.some((logger) => logger.pending() > SLICE_EVENTS * 4)) await sleep(1);
  }
  return nanos.map(median);
}

// ── Full queue ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Logs into a service that does not answer until the logger refuses to take more. */
async function fullQueue(): Promise<Figures> {
  const { CloudwatchLogger } = (await import(CWLOGGER)) as typeof import("../cloudwatch.ts");
  const pool = makePool(task.kind);
  collectGarbage();
  const emptyMb = rssMb();
  const logger = new CloudwatchLogger(LOG_GROUP, { ...ACCESS, endpoint: task.endpoint, onLoss() {}, onError() {} });
  let peakMb = 0;
  for (let index = 0; logger.stats().dropped === 0; ) {
    for (const end = index + SLICE_EVENTS; index < end; index++) {
      const { message, fields } = itemAt(pool, index);
      logger.warn(message, fields);
    }
    await turn();
    peakMb = Math.max(peakMb, rssMb());
  }
  await sleep(200);
  const figures = { queuedEvents: logger.stats().pending, fullMb: Math.max(peakMb, rssMb()) - emptyMb };
  process.send?.({ figures } satisfies Answer, () => process.kill(process.pid, "SIGKILL")); // 200,000 events, no word
  return new Promise(() => {});
}

// ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function answer(what: Answer): void {
  process.send?.(what, () => process.exit());
}

async function openLogger(): Promise<Logger> {
  const batchEvents = { structured: 3_300, strings: 6_000, text: 8_000, large: 9 }[task.kind as string] ?? 1_300;
  const pauseMs = task.mode === "steady" ? 200 : 0;
  const options = {
    batchEvents,
    pauseMs,
    isText: task.kind === "text",
    ...(task.cwlogger && { cwlogger: task.cwlogger }),
  };
  try {
    return await candidateOf(task.candidate).open(task.endpoint, options);
  } catch (error) {
    if (task.cwlogger === undefined || !(error instanceof TypeError)) throw error;
    answer({ notAvailable: error.message });
    return new Promise(() => {});
  }
}

function itemAt(pool: Item[], index: number): Item {
  return renumber(pool[index % pool.length] as Item, index);
}

function startClock(): () => { wallMs: number; cpuMs: number; mainMs: number } {
  const wall = performance.now();
  const cpu = process.cpuUsage();
  const main = mainThreadMs();
  return () => {
    const { user, system } = process.cpuUsage(cpu);
    return { wallMs: performance.now() - wall, cpuMs: (user + system) / 1_000, mainMs: mainThreadMs() - main };
  };
}

/** CPU time of the main thread alone, where the kernel tells (Linux); of the process elsewhere. */
function mainThreadMs(): number {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ")[0]) / 1e6;
  } catch {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  }
}

function rssMb(): number {
  return process.memoryUsage.rss() / 1e6;
}

function collectGarbage(): void {
  globalThis.gc?.();
}

/** Asks the parent to have the service settle, and waits until it did. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    process.once("message", () => resolve());
    process.send?.({} satisfies Answer);
  });
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
