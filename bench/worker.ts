/** The measured process: does one task, given as JSON in its arguments, and writes the figures to stdout. */
import { existsSync, readFileSync, writeSync } from "node:fs";
import { createHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import type { CloudwatchLoggerOptions, Stats } from "../cloudwatch.ts";
import { CANDIDATES, type Candidate, type CandidateName, type Logger, openCwlogger } from "./candidates.ts";
import type { Fleet } from "./fleet-simulation.ts";
import { type ItemAt, type Kind, makePool } from "./records.ts";

export interface Task {
  mode: keyof typeof MODES;
  candidate: CandidateName;
  /** The compiled cloudwatch.ts that stands for cwlogger. */
  file: string;
  endpoint: string;
  kind: Kind;
  /** Events that are measured, or that wait; before them go `warmUp` others, so that V8 has compiled all. */
  events: number;
  warmUp: number;
  /** Options for cwlogger. */
  options: CloudwatchLoggerOptions;
  /** steady: the pace, which is kept for so long. */
  perSecond?: number;
  seconds?: number;
  /** fleet: this process's part of it, and when all parts start, in ms since the epoch. */
  fleet?: Fleet;
  startAt?: number;
}

/** What a measurement gives, by its titles in the tables. */
export type Figures = Record<string, number | string>;

/** Events that are logged without looking left and right. */
const SLICE_EVENTS = 1_000;
/** That are timed one by one. */
const SINGLE_CALLS = 10_000;
/** How often a logger of the fleet looks what to log. */
const TICK_MS = 10;

const MODES = { burst, steady, waiting, recover, fleet };
const task = JSON.parse(process.argv[2] ?? "{}") as Task;
const candidate: Candidate = CANDIDATES[task.candidate];
writeSync(1, JSON.stringify(await MODES[task.mode]()));
// What is still waiting is of no interest, nor is what the logger has to say about it.
process.kill(process.pid, "SIGKILL");

/** As fast as the logger takes events without losing any, until the last one is answered. */
async function burst(): Promise<Figures> {
  const { events, warmUp } = task;
  const itemAt = makePool(task.kind);
  const memoryMb = watchMemory();
  const logger = await candidate.open(task);
  await logPaced(logger, itemAt, 0, warmUp);
  await (warmUp > 0 && logger.flush());
  const stop = startClock();
  const callNs = await logPaced(logger, itemAt, warmUp, warmUp + events);
  await logger.flush();
  const { wallMs, cpuMs } = stop();
  const [cpuMicros, rate] = [(cpuMs / events) * 1_000, (events / wallMs) * 1_000];
  return { "CPU µs/event": cpuMicros, "events/s": rate, "a call ns": callNs, "RSS MB": memoryMb() };
}

/** So many events a second, evenly, until the last one is answered. */
async function steady(): Promise<Figures> {
  const { warmUp, perSecond = 0, seconds = 0 } = task;
  const itemAt = makePool("structured");
  const logger = await candidate.open(task);
  await logPaced(logger, itemAt, 0, warmUp);
  await logger.flush();
  let logged = warmUp;
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const stop = startClock();
  const start = performance.now();
  for (let elapsed = 0; elapsed < seconds; ) {
    await sleep(1);
    elapsed = Math.min(seconds, (performance.now() - start) / 1_000);
    for (const due = warmUp + Math.floor(elapsed * perSecond); logged < due; ) logger.log(itemAt(logged++));
  }
  delay.disable();
  await logger.flush();
  const [p99Ms, longestMs] = [delay.percentile(99) / 1e6, delay.max / 1e6];
  return { "CPU %": stop().cpuMs / (seconds * 10), "delay p99 ms": p99Ms, "longest ms": longestMs };
}

/** Single calls while so many events wait and nobody answers; without a number, while the queue is full. */
async function waiting(): Promise<Figures> {
  const memoryMb = watchMemory();
  const { logger, log } = await openOurs();
  const isDone = ({ logged, dropped }: Stats) => (task.events > 0 ? logged >= task.events : dropped > 0);
  while (!isDone(logger.stats())) {
    for (let call = 0; call < SLICE_EVENTS; call++) log();
    await turn();
  }
  const { pending } = logger.stats();
  if (pending < task.events) throw new Error(`Not waiting: ${JSON.stringify(logger.stats())}`);
  const nanos = createHistogram();
  for (let call = 0; call < SINGLE_CALLS; call++) {
    if (call % 100 === 0) await turn();
    const start = process.hrtime.bigint();
    log();
    nanos.record(process.hrtime.bigint() - start);
  }
  const [median, p99, longest] = [nanos.percentile(50) / 1_000, nanos.percentile(99) / 1_000, nanos.max / 1_000];
  return { waiting: pending, "median µs": median, "p99 µs": p99, "longest µs": longest, "RSS MB": memoryMb() };
}

/** Takes over what a process that did `waiting` left in the spool, until all of it is delivered. */
async function recover(): Promise<Figures> {
  const { logger: first } = await openOurs({ ...task.options, spoolDirectory: undefined });
  first.info("the SDK is loaded and warm: what follows is not its doing");
  await first.close();
  const memoryMb = watchMemory();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const { logger } = await openOurs();
  const stop = startClock();
  delay.enable();
  while (logger.stats().delivered < task.events + SINGLE_CALLS) await sleep(20);
  delay.disable();
  return { "until delivered s": stop().wallMs / 1_000, "longest stall ms": delay.max / 1e6, "RSS MB": memoryMb() };
}

/** So many loggers, each of which logs at the same pace for a while and is flushed then. */
async function fleet(): Promise<Figures> {
  const { fleet = {} as Fleet, startAt = 0 } = task;
  await import("@aws-sdk/client-cloudwatch-logs"); // loading it is not what is measured
  const loggers = await Promise.all(Array.from({ length: fleet.loggers }, async () => (await openOurs()).logger));
  await sleep(startAt - Date.now());
  let [logged, elapsedMs, heldUpMs] = [0, 0, 0];
  while (elapsedMs < fleet.forMs) {
    const wokenAt = Date.now() - startAt;
    heldUpMs = Math.max(heldUpMs, wokenAt - elapsedMs - TICK_MS);
    elapsedMs = wokenAt;
    for (const due = (Math.min(elapsedMs, fleet.forMs - 1) / 1_000) * fleet.perSecond; logged <= due; logged++) {
      for (const [index, logger] of loggers.entries()) logger.info(`event ${process.pid} ${index} ${logged}`);
    }
    await sleep(TICK_MS);
  }
  await Promise.all(loggers.map((logger) => logger.flush(60_000)));
  return { logged: logged * loggers.length, heldUpMs };
}

/** Logs in slices, and waits where the logger lags behind; gives how long a call takes, as the median of the slices. */
async function logPaced(logger: Logger, itemAt: ItemAt, first: number, end: number): Promise<number> {
  const callNanos = createHistogram();
  const bytes = JSON.stringify(itemAt(0).record).length;
  const [sliceEvents, maxPending] = [Math.min(SLICE_EVENTS, 4e6 / bytes), Math.min(candidate.maxPending, 2e7 / bytes)];
  for (let index = first; index < end; ) {
    const sliceEnd = Math.min(end, index + Math.ceil(sliceEvents));
    const [start, count] = [process.hrtime.bigint(), sliceEnd - index];
    while (index < sliceEnd) logger.log(itemAt(index++));
    callNanos.record(1n + (process.hrtime.bigint() - start) / BigInt(count)); // A histogram takes no 0.
    await turn();
    while (logger.pending() > maxPending) await sleep(1);
  }
  return callNanos.percentile(50);
}

/** cwlogger, silent about trouble; `log` logs one more event. */
async function openOurs(options = task.options) {
  const logger = await openCwlogger({ ...task, options: { ...options, onLoss() {}, onError() {} } });
  const itemAt = makePool(task.kind);
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
