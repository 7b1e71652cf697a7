/** The measured process: does one task, given as JSON in its arguments, and sends the figures to its parent. */
import { existsSync, readFileSync } from "node:fs";
import { createHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import type { CloudwatchLogger, CloudwatchLoggerOptions } from "../cloudwatch.ts";
import { ACCESS, CANDIDATES, type Candidate, type CandidateName, LOG_GROUP, type Logger } from "./candidates.ts";
import { type Kind, makePool } from "./records.ts";

export interface Task {
  mode: keyof typeof MODES;
  candidate: CandidateName;
  /** The compiled cloudwatch.ts that stands for cwlogger. */
  file: string;
  endpoint: string;
  kind: Kind;
  /** Events that are measured; before them go `warmUp` others, so that V8 has compiled all. */
  events: number;
  warmUp: number;
  /** Options for cwlogger. */
  options: CloudwatchLoggerOptions;
  /** Events a second, events waiting, bytes of a message, depth of fields: figures for each. */
  steps: number[];
  /** For how long each pace is kept. */
  seconds: number;
}

/** The figures of one task by their titles in the tables. */
export type Figures = Record<string, number>;

/** Events that are logged without looking left and right. */
const SLICE_EVENTS = 1_000;
/** A queue that is not filled by then, and a spool that is not delivered, are given up. */
const PATIENCE_MS = 120_000;

const MODES = { burst, steady, calls, waiting, fullQueue, fillSpool, recover, sizes, depths };
const task = JSON.parse(process.argv[2] ?? "{}") as Task;
const candidate: Candidate = CANDIDATES[task.candidate];
const figures = await MODES[task.mode]();
// What is still waiting is of no interest, nor is what the logger has to say about it.
process.send?.(figures, () => process.kill(process.pid, "SIGKILL"));

/** As fast as the logger takes events without losing any, until the last one is answered. */
async function burst(): Promise<Figures> {
  const { events, warmUp } = task;
  const itemAt = makePool(task.kind);
  const memoryMb = watchMemory();
  const logger = await candidate.open(task);
  await logPaced(logger, 0, warmUp, itemAt);
  await (warmUp > 0 && logger.flush());
  const stop = startClock();
  await logPaced(logger, warmUp, events, itemAt);
  await logger.flush();
  const { wallMs, cpuMs } = stop();
  return {
    "CPU µs/event": (cpuMs / events) * 1_000,
    "events/s": (events / wallMs) * 1_000,
    "RSS MB": memoryMb(),
  };
}

/** So many events a second, evenly, until the last one is answered. */
async function steady(): Promise<Figures> {
  const itemAt = makePool("structured");
  const logger = await candidate.open(task);
  await logPaced(logger, 0, task.warmUp, itemAt);
  await logger.flush();
  const figures: Figures = {};
  let next = task.warmUp;
  for (const perSecond of task.steps) {
    const end = next + perSecond * task.seconds;
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const stop = startClock();
    const [first, start] = [next, performance.now()];
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        const due = Math.min(end, first + Math.floor(((performance.now() - start) / 1_000) * perSecond));
        while (next < due) logger.log(itemAt(next++));
        if (next < end) return;
        clearInterval(timer);
        resolve();
      }, 1);
    });
    delay.disable();
    await logger.flush();
    const title = `${perSecond.toLocaleString("en")}/s:`;
    figures[`${title} CPU %`] = stop().cpuMs / (task.seconds * 10);
    if (perSecond < 10_000) continue;
    figures["delay p99 ms"] = delay.percentile(99) / 1e6;
    figures["longest ms"] = delay.max / 1e6;
  }
  return figures;
}

/** Blocks of calls to each in turns; what is sent is sent between them. */
async function calls(): Promise<Figures> {
  const names: CandidateName[] = ["cwlogger", "JSON.stringify", "pino to /dev/null"];
  const loggers = await Promise.all(names.map((name) => CANDIDATES[name].open(task)));
  const itemAt = makePool("structured");
  const nanos = loggers.map(() => createHistogram());
  for (let block = 0; block < (task.warmUp + task.events) / SLICE_EVENTS; block++) {
    for (const offset of loggers.keys()) {
      const which = (block + offset) % loggers.length;
      const logger = loggers[which] as Logger;
      const start = process.hrtime.bigint();
      for (let index = 0; index < SLICE_EVENTS; index++) logger.log(itemAt(index));
      const spent = (process.hrtime.bigint() - start) / BigInt(SLICE_EVENTS);
      if (block * SLICE_EVENTS >= task.warmUp) nanos[which]?.record(spent);
      await turn();
    }
    if (block % 3 === 2) await loggers[0]?.flush();
  }
  const [call = 0, stringify = 0, pino = 0] = nanos.map((each) => each.percentile(50));
  const ratios = { "× JSON.stringify": call / stringify, "× pino": call / pino };
  return { "info(message, fields) ns": call, "JSON.stringify ns": stringify, "pino to /dev/null ns": pino, ...ratios };
}

/** Single calls while so many events wait, and nobody answers. */
async function waiting(): Promise<Figures> {
  const { logger, log } = await openOurs();
  const figures: Figures = {};
  for (const count of task.steps) {
    for (let logged = logger.stats().logged; logged < count; logged++) {
      log();
      if (logged % SLICE_EVENTS === 0) await turn();
      if (performance.now() > PATIENCE_MS) return figures;
    }
    const nanos = createHistogram();
    for (let call = 0; call < 10_000; call++) {
      if (call % 100 === 0) await turn();
      const start = process.hrtime.bigint();
      log();
      nanos.record(process.hrtime.bigint() - start);
    }
    const title = `${count.toLocaleString("en")} waiting:`;
    figures[`${title} median µs`] = nanos.percentile(50) / 1_000;
    figures[`${title} p99 µs`] = nanos.percentile(99) / 1_000;
    figures[`${title} longest µs`] = nanos.max / 1_000;
  }
  return figures;
}

/** Logs to nobody who answers until the logger refuses to take more. */
async function fullQueue(): Promise<Figures> {
  const memoryMb = watchMemory();
  const { logger, log } = await openOurs();
  while (logger.stats().dropped === 0) {
    for (let call = 0; call < SLICE_EVENTS; call++) log();
    await turn();
    if (performance.now() > PATIENCE_MS) throw new Error(`The queue is not full: ${JSON.stringify(logger.stats())}`);
  }
  await sleep(200);
  return { "RSS MB": memoryMb(), "events queued": logger.stats().pending };
}

/** Leaves a spool of so many events behind, of 1 KiB each, as a process does that is killed. */
async function fillSpool(): Promise<Figures> {
  const { logger } = await openOurs();
  const message = "a message of a kilobyte ".padEnd(1_024 - 26 - '{"level":"INFO","message":""}'.length, "and so on ");
  for (let index = 0; index < task.events; index++) {
    logger.info(message);
    if (index % SLICE_EVENTS === 0) await turn();
  }
  return { "events spooled": logger.stats().pending };
}

/** Takes over what another process left in the spool, until all of it is delivered. */
async function recover(): Promise<Figures> {
  const memoryMb = watchMemory();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const { logger } = await openOurs();
  const start = performance.now();
  delay.enable();
  while (logger.stats().delivered < task.events) {
    if (performance.now() - start > PATIENCE_MS) throw new Error(`Not delivered: ${JSON.stringify(logger.stats())}`);
    await sleep(20);
  }
  delay.disable();
  const seconds = (performance.now() - start) / 1_000;
  return { "until delivered, s": seconds, "longest stall ms": delay.max / 1e6, "RSS MB": memoryMb() };
}

/** CPU of an event whose message has so many bytes, delivery included. */
function sizes(): Promise<Figures> {
  return series("bytes", (bytes) => ["x".repeat(bytes), {}]);
}

/** CPU of an event whose fields are nested so deep. */
function depths(): Promise<Figures> {
  const nest = (depth: number): object => (depth === 1 ? { leaf: true } : { level: "a word", fields: nest(depth - 1) });
  return series("levels", (depth) => ["nested", nest(depth)]);
}

async function series(unit: string, make: (step: number) => [string, object]): Promise<Figures> {
  const { logger } = await openOurs();
  const figures: Figures = {};
  for (const step of task.steps) {
    const [message, fields] = make(step);
    const bytes = message.length + JSON.stringify(fields).length + 100;
    const count = Math.ceil(Math.min(task.events, 4e7 / bytes));
    let stop = startClock();
    for (let index = -count; index < count; index++) {
      if (index === 0) stop = startClock(); // before that, the warm-up
      logger.info(message, fields);
      if (index % Math.ceil(8e6 / bytes) === 0 || index === -1) await logger.flush(Infinity);
    }
    await logger.flush(Infinity);
    figures[`${step.toLocaleString("en")} ${unit}: µs/event`] = (stop().cpuMs / count) * 1_000;
  }
  return figures;
}

type ItemAt = ReturnType<typeof makePool>;

async function logPaced(logger: Logger, first: number, count: number, itemAt: ItemAt): Promise<void> {
  for (let index = first; index < first + count; ) {
    const end = Math.min(first + count, index + SLICE_EVENTS);
    while (index < end) logger.log(itemAt(index++));
    await turn();
    while (logger.pending() > candidate.maxPending) await sleep(1);
  }
}

/** cwlogger, silent about trouble; `log` logs one more structured record. */
async function openOurs(): Promise<{ logger: CloudwatchLogger; log: () => void }> {
  const { CloudwatchLogger } = (await import(task.file)) as typeof import("../cloudwatch.ts");
  const options = { endpoint: task.endpoint, ...task.options, onLoss() {}, onError() {} };
  const logger = new CloudwatchLogger(LOG_GROUP, { ...ACCESS, ...options });
  const itemAt = makePool("structured");
  let index = 0;
  const log = () => {
    const { message, fields } = itemAt(index++);
    logger.warn(message, fields);
  };
  return { logger, log };
}

/** The highest RSS, over that of now, in MB. The kernel knows; elsewhere than on Linux, that of the end has to do. */
function watchMemory(): () => number {
  globalThis.gc?.();
  const before = process.memoryUsage.rss();
  return () => {
    const status = existsSync("/proc/self/status") ? readFileSync("/proc/self/status", "utf8") : "";
    const [, kib] = /VmHWM:\s*(\d+)/.exec(status) ?? [];
    return ((kib === undefined ? process.memoryUsage.rss() : Number(kib) * 1_024) - before) / 1e6;
  };
}

function startClock(): () => { wallMs: number; cpuMs: number } {
  const [wall, cpu] = [performance.now(), process.cpuUsage()];
  return () => {
    const { user, system } = process.cpuUsage(cpu);
    return { wallMs: performance.now() - wall, cpuMs: (user + system) / 1_000 };
  };
}
