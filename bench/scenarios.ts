/** What is measured: each scenario is a table of RESULTS.md, each measurement a row of it. */
import type { LocalCloudWatchLogsOptions } from "../testing/local-cloudwatch.ts";
import { CANDIDATES, type CandidateName } from "./candidates.ts";
import { type Kind, TEXT_CLASSES } from "./records.ts";
import type { Task } from "./worker.ts";

export interface Scenario {
  name: string;
  title: string;
  text: string;
  columns: Column[];
  rounds: number;
  measurements: Measurement[];
}

export interface Column {
  title: string;
  figure: string;
  digits: number;
}

export interface Measurement {
  row: string;
  candidate: CandidateName;
  task: Partial<Task>;
  /** Instead of a task: the module that a fresh process imports. */
  module?: string;
  service?: LocalCloudWatchLogsOptions;
  hasTls?: boolean;
  hasSpool?: boolean;
}

/** The rows and kinds of text of a quick run. */
const QUICKLY_COMPARED = [
  "JSON.stringify",
  "pino to /dev/null",
  "plain SDK logger",
  "cwlogger",
  "winston-cloudwatch",
] satisfies CandidateName[];
const QUICK_CLASSES = ["quotes", "CJK"] satisfies Kind[];

/** Rows of most tables; cwlogger stands in them once, with its defaults. */
const COMPARED = (Object.keys(CANDIDATES) as CandidateName[]).filter(
  (name) => name !== "idle loop" && !name.startsWith("cwlogger, "),
);
const SHIPPERS = COMPARED.filter((name) => CANDIDATES[name].role !== "limit");

const RATE: Column = { title: "events/s", figure: "eventsPerSecond", digits: 0 };
const CPU: Column = { title: "CPU µs/event", figure: "cpuMicrosPerEvent", digits: 2 };
const MAIN_CPU: Column = { title: "of the main thread", figure: "mainMicrosPerEvent", digits: 2 };
const MEMORY: Column = { title: "RSS MB of the burst", figure: "burstMb", digits: 0 };
const LOAD: Column = { title: "RSS MB of loading", figure: "loadMb", digits: 0 };
const WIRE: Column = { title: "bytes/event on the wire", figure: "wireBytesPerEvent", digits: 0 };

/** The scenarios, at the sizes of the full run or of `--quick`. */
export function scenariosOf(isQuick: boolean, rounds: number): Scenario[] {
  const events = isQuick ? 100_000 : 300_000;
  const fewerEvents = isQuick ? 50_000 : 150_000;
  // V8 has compiled what is measured; the growth curve shows what comes before that.
  const shortWarmUp = 20_000;
  const warmUp = isQuick ? shortWarmUp : 100_000;

  const burst = (
    candidate: CandidateName,
    kind: Kind,
    count: number,
    more: Partial<Measurement> = {},
  ): Measurement => ({
    row: candidate,
    candidate,
    ...more,
    task: { mode: "burst", kind, events: count, warmUp, ...more.task },
  });
  const steady = (perSecond: number, names: CandidateName[], seconds: number): Measurement[] =>
    names.map((candidate) => ({
      row: candidate,
      candidate,
      task: { mode: "steady", perSecond, seconds, events: perSecond * (seconds + leadSeconds(perSecond)), warmUp: 0 },
    }));
  // At 2,000 events a second V8 would take a minute to compile all; that scenario shows what a program's start is like.
  const leadSeconds = (perSecond: number) => (isQuick ? 1 : perSecond < 10_000 ? 2 : 10);
  const endpoint = (delayMs: number, count: number, names: CandidateName[]): Measurement[] =>
    names.map((name) => burst(name, "structured", count, { service: { delayMs }, task: { warmUp: shortWarmUp } }));
  const growth = isQuick ? [1e4, 1e5, 1e6] : [1e4, 1e5, 1e6, 1e7];

  return [
    {
      name: "burst",
      title: "Burst",
      text:
        "Structured records, as fast as the logger takes them without losing any, until the last one is answered; the " +
        "endpoint answers at once. RSS: loading is from before the import of the logger to its first batches delivered, " +
        `the burst comes on top, after ${warmUp.toLocaleString("en")} records that are not measured.`,
      columns: [RATE, CPU, MEMORY, LOAD],
      rounds,
      measurements: (isQuick ? QUICKLY_COMPARED : COMPARED).map((name) => burst(name, "structured", events)),
    },
    {
      name: "20 ms",
      title: "Endpoint that answers after 20 ms",
      text: "The same burst, fewer records.",
      columns: [RATE, CPU, MEMORY],
      rounds,
      measurements: endpoint(
        20,
        fewerEvents,
        isQuick
          ? ["plain SDK logger", "cwlogger"]
          : ["cwlogger, one in flight", "cwlogger, 16 in flight", ...without("@serdnam/pino-cloudwatch-transport")],
      ),
    },
    {
      name: "80 ms",
      title: "Endpoint that answers after 80 ms",
      text: "The same burst, more records: with sixteen in flight, a shorter one would be over after a few answers.",
      columns: [RATE, CPU, MEMORY],
      rounds,
      measurements: endpoint(
        80,
        isQuick ? fewerEvents : 2 * events,
        isQuick
          ? ["cwlogger", "cwlogger, one in flight", "cwlogger, 16 in flight", "winston-cloudwatch"]
          : ["cwlogger, one in flight", "cwlogger, 16 in flight", ...without("@serdnam/pino-cloudwatch-transport")],
      ),
    },
    ...(isQuick ? [10_000] : [2_000, 10_000]).map(
      (perSecond): Scenario => ({
        name: `steady ${perSecond}`,
        title: `Steady ${perSecond.toLocaleString("en")} events/s`,
        text:
          "Structured records, some in each millisecond. CPU in percent of one core, and what is left of it over the " +
          "same timers without logging; the event loop's delay is that of a 1 ms timer, the millisecond included. " +
          `The first ${leadSeconds(perSecond)} s are not measured.`,
        columns: [
          { title: "CPU %", figure: "cpuPercent", digits: 1 },
          { title: "over idle", figure: "cpuOverIdle", digits: 1 },
          { title: "delay p50 ms", figure: "delayP50Ms", digits: 2 },
          { title: "p99", figure: "delayP99Ms", digits: 2 },
          { title: "longest", figure: "delayMaxMs", digits: 1 },
          { title: "events waiting", figure: "pendingEvents", digits: 0 },
        ],
        rounds,
        measurements: steady(
          perSecond,
          isQuick
            ? ["idle loop", "plain SDK logger", "cwlogger"]
            : (["idle loop", "pino to /dev/null", ...without()] as CandidateName[]).filter(
                (name) => perSecond === 2_000 || name !== "@serdnam/pino-cloudwatch-transport",
              ),
          isQuick ? 1 : 5,
        ),
      }),
    ),
    {
      name: "strings",
      title: "Strings of 100 characters",
      text: 'The string is the message of a JSON event, `{"level":"INFO","message":…}`, for all.',
      columns: [RATE, CPU, MEMORY],
      rounds,
      measurements: (isQuick
        ? (["plain SDK logger", "cwlogger"] as const)
        : without("@serdnam/pino-cloudwatch-transport")
      ).map((name) => burst(name, "strings", events)),
    },
    {
      name: "text",
      title: "Strings of 100 characters, sent as they are",
      text: 'No JSON around them: `format: "{message}"`; the plain SDK logger queues the string itself.',
      columns: [RATE, CPU, MEMORY],
      rounds,
      measurements: (["plain SDK logger", "cwlogger"] as const).map((name) => burst(name, "text", events)),
    },
    {
      name: "classes",
      title: "Classes of text",
      text: "Messages of 260 characters that escape differently.",
      columns: [RATE, CPU],
      rounds,
      measurements: (isQuick ? QUICK_CLASSES : TEXT_CLASSES).flatMap((kind) =>
        (["plain SDK logger", "cwlogger"] as const).map((name) => ({
          ...burst(name, kind, isQuick ? 30_000 : fewerEvents),
          row: `${name}: ${kind}`,
        })),
      ),
    },
    {
      name: "large",
      title: "Large events",
      text: "Messages of 100,000 characters.",
      columns: [RATE, { title: "CPU µs/event", figure: "cpuMicrosPerEvent", digits: 0 }, MEMORY],
      rounds,
      measurements: (isQuick
        ? (["plain SDK logger", "cwlogger"] as const)
        : without("@serdnam/pino-cloudwatch-transport")
      ).map((name) => burst(name, "large", isQuick ? 300 : 1_500, { task: { warmUp: 100 } })),
    },
    {
      name: "TLS",
      title: "TLS",
      text: "The burst over HTTPS, with a certificate made for this run.",
      columns: [RATE, CPU, MAIN_CPU],
      rounds,
      measurements: (isQuick
        ? (["cwlogger"] as const)
        : (["plain SDK logger", "cwlogger", "winston-cloudwatch"] as const)
      ).map((name) => burst(name, "structured", fewerEvents, { hasTls: true })),
    },
    {
      name: "gzip",
      title: "gzip",
      text: "`compress: true`, which compresses in the thread pool. One CPU for all threads of the client.",
      columns: [RATE, CPU, MAIN_CPU, WIRE, MEMORY],
      rounds,
      measurements: [
        burst("cwlogger", "structured", events, { row: "cwlogger" }),
        burst("cwlogger", "structured", events, {
          row: "cwlogger, compress",
          task: { cwlogger: { compress: true } },
        }),
      ],
    },
    {
      name: "spool",
      title: "Spool",
      text: "`spoolDirectory` in the temporary directory: an event is on disk before the call returns.",
      columns: [RATE, CPU, MAIN_CPU, MEMORY],
      rounds,
      measurements: [
        burst("cwlogger", "structured", fewerEvents, { row: "cwlogger" }),
        burst("cwlogger", "structured", fewerEvents, { row: "cwlogger, spoolDirectory", hasSpool: true }),
      ],
    },
    {
      name: "calls",
      title: "One call",
      text:
        "The time of a log call alone, in turns with JSON.stringify of the same records; below the threshold in turns " +
        "with an empty function; with a spool in turns with a logger without one.",
      columns: [
        { title: "call ns", figure: "callNanos", digits: 0 },
        { title: "compared with ns", figure: "otherNanos", digits: 0 },
        { title: "ratio", figure: "ratio", digits: 2 },
      ],
      rounds,
      measurements: [
        callsOf("info()", "calls", isQuick),
        callsOf("debug() below the threshold", "disabled calls", isQuick),
        { ...callsOf("info() with spoolDirectory", "spool calls", isQuick), hasSpool: true },
      ],
    },
    {
      name: "start",
      title: "Start",
      text: "In fresh processes. The import of an empty module is what Node.js itself takes.",
      columns: [
        { title: "import ms", figure: "importMs", digits: 1 },
        { title: "constructor ms", figure: "constructMs", digits: 2 },
        { title: "SDK modules loaded before the first batch", figure: "sdkModulesBefore", digits: 0 },
        { title: "after it", figure: "sdkModulesAfter", digits: 0 },
      ],
      rounds: Math.max(rounds, isQuick ? 5 : 20),
      measurements: [
        startOf("empty module", "./empty.mjs"),
        startOf("cwlogger", "./cloudwatch.mjs"),
        ...(isQuick
          ? []
          : [
              startOf("@aws-sdk/client-cloudwatch-logs", "@aws-sdk/client-cloudwatch-logs"),
              startOf("pino", "pino"),
              startOf("winston-cloudwatch", "winston-cloudwatch"),
              startOf("winston-aws-cloudwatch", "winston-aws-cloudwatch"),
              startOf("aws-cloudwatch-log", "aws-cloudwatch-log"),
            ]),
      ],
    },
    {
      name: "growth",
      title: "Growth and memory",
      text: "Bursts of structured records; the service looks at what it got after each million, outside of the measured time.",
      columns: [
        RATE,
        CPU,
        { ...MEMORY, title: "RSS MB" },
        { title: "RSS MB after the first million", figure: "firstMb", digits: 0 },
      ],
      rounds: Math.min(rounds, 5),
      measurements: growth.map((count) =>
        burst("cwlogger", "structured", count, {
          row: count.toLocaleString("en"),
          task: { settleEvery: 1e6, warmUp: shortWarmUp },
        }),
      ),
    },
    {
      name: "full queue",
      title: "A full queue",
      text: "64 MiB of structured records accepted, and a service that does not answer.",
      columns: [
        { title: "RSS MB", figure: "fullMb", digits: 0 },
        { title: "events queued", figure: "queuedEvents", digits: 0 },
      ],
      rounds,
      measurements: [
        { row: "cwlogger", candidate: "cwlogger", task: { mode: "full queue" }, service: { delayMs: 1e6 } },
      ],
    },
  ];
}

function without(...names: CandidateName[]): CandidateName[] {
  return SHIPPERS.filter((name) => !names.includes(name));
}

function callsOf(row: string, mode: Task["mode"], isQuick: boolean): Measurement {
  return { row, candidate: "cwlogger", task: { mode, events: isQuick ? 50_000 : 300_000, warmUp: 50_000 } };
}

function startOf(row: string, module: string): Measurement {
  return { row, candidate: "cwlogger", task: {}, module };
}
