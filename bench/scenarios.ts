/** What is measured: each scenario is a table of RESULTS.md, and each row of it a process for each round. */
import type { LocalCloudWatchLogsOptions } from "../testing/local-cloudwatch.ts";
import type { CandidateName } from "./candidates.ts";
import type { Task } from "./worker.ts";

export interface Scenario {
  title: string;
  text: string;
  /** Of a full run, where they are not 3. */
  rounds?: number;
  rows: Row[];
}

/** A task of worker.ts, or a program of start.ts. */
export interface Row {
  label: string;
  /** Made of cloudwatch.ts; these are what two versions of it are compared by. */
  isOurs: boolean;
  task?: Partial<Task>;
  program?: Program;
  service?: LocalCloudWatchLogsOptions;
  hasSpool?: boolean;
}

/** `module`: what is imported, where it is not cwlogger. */
export interface Program {
  what: "import" | "empty" | "end" | "stay" | "null";
  module?: string;
  env?: Record<string, string>;
  endpoint?: string;
}

/** Nobody listens at the port of the discard protocol. */
export const NOWHERE = "http://127.0.0.1:9";
const SDK = "@aws-sdk/client-cloudwatch-logs";
const SILENT = { service: { delayMs: 1e6 } };
const KEYS = { AWS_ACCESS_KEY_ID: "AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret" };
const REGION = { AWS_REGION: "us-east-1" };

export function scenariosOf(isQuick: boolean, hasAllPeers: boolean): Record<string, Scenario> {
  const peers: CandidateName[] = ["plain SDK logger", "winston-cloudwatch"];
  if (hasAllPeers) peers.push("aws-cloudwatch-log", "winston-aws-cloudwatch");
  const slowPeers: CandidateName[] = hasAllPeers ? ["@serdnam/pino-cloudwatch-transport"] : [];
  const size = { events: isQuick ? 50_000 : 150_000, warmUp: 50_000 };
  const each = (names: CandidateName[], task: Partial<Task>): Row[] =>
    names.map((name) => ({ label: name, isOurs: name === "cwlogger", task: { candidate: name, ...task } }));
  const ours = (label: string, task: Row["task"] & object, more = {}): Row => ({ label, isOurs: true, task, ...more });
  const program = (label: string, what: Program["what"], more: Partial<Program> = {}): Row => {
    return { label, isOurs: what !== "empty" && !more.module, program: { what, ...more } };
  };
  const waiting = (options: Task["options"]): Partial<Task> => ({
    mode: "waiting",
    steps: isQuick ? [1e3, 1e4, 1e5] : [1e3, 1e4, 1e5, 1e6],
    options: { maxQueueBytes: 2 ** 30, ...options },
  });
  const smallest = { maxBatchEvents: 1 };
  const spool = { events: isQuick ? 2 ** 16 : 2 ** 20, options: { maxQueueBytes: 2 ** 31 } };
  const seconds = isQuick ? 1 : 3;
  const withKeys = { env: { ...KEYS, ...REGION } };

  return {
    burst: {
      title: "Burst of structured records",
      text:
        "Records of about 290 bytes, as fast as the logger takes them without losing any, until the last one is answered; " +
        "the endpoint answers at once. RSS: the highest, over the process before the logger was loaded.",
      rounds: 5,
      rows: each(["cwlogger", ...peers, ...slowPeers, "pino to /dev/null", "JSON.stringify"], size),
    },
    strings: {
      title: "Burst of strings",
      text: 'Of 100 characters, the message of a JSON event `{"level":"INFO","message":…}` for all.',
      rounds: 5,
      rows: each(["cwlogger", ...peers], { ...size, kind: "strings" }),
    },
    variants: {
      title: "Variants of the burst of structured records",
      text: "`spoolDirectory` in the temporary directory: an event is on disk before the call returns.",
      rows: [
        ours("strings put together in the program", { ...size, kind: "assembled" }),
        ours("`compress: true`", { ...size, options: { compress: true } }),
        ours("`spoolDirectory`", size, { hasSpool: true }),
      ],
    },
    steady: {
      title: "Steady",
      text:
        "Structured records, some in each millisecond, for seconds and until the last one is answered. CPU in percent of one " +
        "core, the idle loop included; the event loop's delay is that of a timer of 1 ms, the millisecond included.",
      rows: each(["cwlogger", ...peers, "idle loop"], { ...size, mode: "steady", steps: [2e3, 1e4], seconds }),
    },
    calls: {
      title: "One log call",
      text: "Of structured records, without delivery, in turns with the others in the same process.",
      rows: [ours("cwlogger", { ...size, mode: "calls" })],
    },
    waiting: {
      title: "A call while events wait",
      text: "Nobody answers; `maxQueueBytes` is 1 GiB. 10,000 calls, each by itself. Smallest batches: `maxBatchEvents` is 1.",
      rows: [ours("largest batches", waiting({}), SILENT), ours("smallest batches", waiting(smallest), SILENT)],
    },
    memory: {
      title: "A full queue",
      text: "64 MiB accepted, and nobody answers.",
      rows: [
        ours("largest batches", { mode: "fullQueue" }, SILENT),
        ours("smallest batches", { mode: "fullQueue", options: smallest }, SILENT),
      ],
    },
    recovery: {
      title: `Recovery of ${isQuick ? "64 MiB" : "1 GiB"} of spool`,
      text: "Events of 1 KiB that a killed process left. The longest stall is that of the event loop.",
      rounds: 1,
      rows: [ours("cwlogger", { mode: "recover", ...spool }, { hasSpool: true })],
    },
    import: {
      title: "Import",
      text: "In a fresh process, over the import of an empty module. CPU: of all threads, not over that.",
      rounds: 15,
      rows: [
        program("cwlogger", "import"),
        ...[SDK, ...peers.slice(1), "pino"].map((module) => program(module, "import", { module })),
      ],
    },
    script: {
      title: "node script.js, from start to end",
      text:
        "A program that imports cwlogger, logs one event and ends by itself. First event: when the service has it, from the " +
        "start of the process. Without credentials the instance's metadata service is one that refuses connections.",
      rows: [
        program("an empty program", "empty"),
        program("with credentials", "end", withKeys),
        program("with credentials, goes on", "stay", withKeys),
        program("without credentials", "end", { env: REGION }),
        program("without region", "end", { env: KEYS }),
        program("log group `null`", "null"),
        ...(isQuick ? [] : [program("the endpoint refuses", "end", { ...withKeys, endpoint: NOWHERE })]),
      ],
    },
    size: {
      title: "CPU against the size of a message",
      text: "Delivery included.",
      rows: [ours("cwlogger", { mode: "sizes", steps: [100, 1e3, 1e4, 1e5, 1e6], events: size.events / 3 })],
    },
    depth: {
      title: "CPU against the depth of fields",
      text: "Delivery included.",
      rows: [ours("cwlogger", { mode: "depths", steps: [1, 10, 100, 1e3], events: size.events / 5 })],
    },
  };
}
