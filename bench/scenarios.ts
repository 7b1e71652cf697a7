/** What is measured: each scenario is a table of RESULTS.md, and each row of it a process for each round. */
import type { CandidateName } from "./candidates.ts";
import type { Fleet } from "./fleet-simulation.ts";
import { fleet, type Measure, program, simulation, task } from "./measure.ts";
import type { Kind } from "./records.ts";
import type { Task } from "./worker.ts";

export interface Scenario {
  title: string;
  text: string;
  /** Where they are not 3; a quick run has one. */
  rounds?: number;
  /** Measured on this version of Node.js alone. */
  node?: string;
  rows: Row[];
}

export interface Row {
  label: string;
  measure: Measure;
  /** Made of cloudwatch.ts; these are what two versions of it are compared by. */
  isOurs: boolean;
}

const SDK = "@aws-sdk/client-cloudwatch-logs";
const KEYS = { AWS_ACCESS_KEY_ID: "AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret" };
const REGION = { AWS_REGION: "us-east-1" };
const ACCOUNT = { flushIntervalMs: 1_000, putPerSecond: 100, createPerSecond: 50, latencyMs: [20, 60] } as const;
const CROWDED: Fleet = { ...ACCOUNT, loggers: 200, perSecond: 5, forMs: 4_000, countedFromMs: 0 };
const STEADY: Fleet = { ...ACCOUNT, loggers: 80, perSecond: 5, forMs: 12_000, countedFromMs: 6_000 };

const ours = (label: string, measure: Measure): Row => ({ label, measure, isOurs: true });
const theirs = (label: string, measure: Measure): Row => ({ label, measure, isOurs: false });
const silent = (given: Partial<Task>) => task(given, { delayMs: 1e6 });
const each = (names: CandidateName[], given: Partial<Task>, more = "") =>
  names.map((candidate) => (candidate === "cwlogger" ? ours : theirs)(candidate + more, task({ ...given, candidate })));
const same = (label: string, kind: Kind, most: number) =>
  ours(label, task({ kind, events: Math.min(50_000, most), warmUp: Math.min(50_000, most) }));
const shown = (value: number) => value.toLocaleString("en");

/** `isAll`: every peer, for the record. */
export function scenariosOf(isQuick: boolean, isAll: boolean, newest: string): Record<string, Scenario> {
  const peers: CandidateName[] = ["plain SDK logger", "winston-cloudwatch"];
  if (isAll) peers.push("aws-cloudwatch-log", "winston-aws-cloudwatch");
  const slowPeers: CandidateName[] = isAll ? ["@serdnam/pino-cloudwatch-transport"] : [];
  const size = { events: isQuick ? 50_000 : 150_000, warmUp: 50_000 };
  const steady = { ...size, mode: "steady", seconds: isQuick ? 1 : 2 } as const;
  const spooled = { kind: { bytes: 969 }, events: isQuick ? 65_000 : 1_050_000, options: { maxQueueBytes: 2 ** 31 } };
  const withKeys = { env: { ...KEYS, ...REGION }, delivers: true };

  return {
    burst: {
      title: "Burst of structured records",
      text:
        "Records of about 290 bytes, as fast as the logger takes them without losing any, until the last one is answered; " +
        "the endpoint answers at once. A call: the log call alone. RSS: the highest, over that before the logger was loaded.",
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
      title: "Other bursts",
      text: "Of the same event again and again, by the size of its message or the depth of its fields; and with options.",
      rounds: 2,
      rows: [
        ...[100, 1e3, 1e4, 1e5, 1e6].map((bytes) => same(`${shown(bytes)} bytes`, { bytes }, 4e7 / bytes)),
        ...[1, 10, 100, 1e3].map((depth) => same(`${shown(depth)} levels`, { depth }, 1e6 / depth)),
        ours("`compress: true`", task({ ...size, options: { compress: true } })),
        ours("`spoolDirectory`", task(size, {}, true)),
      ],
    },
    steady: {
      title: "Steady",
      text:
        "Structured records, some in each millisecond, for seconds and until the last one is answered. CPU in percent of one " +
        "core, the idle loop included; the event loop's delay is that of a timer of 1 ms, the millisecond included.",
      rows: [
        ...each(["cwlogger", "idle loop"], { ...steady, perSecond: 2_000 }, ", 2,000/s"),
        ...each(["cwlogger", ...peers, "idle loop"], { ...steady, perSecond: 10_000 }, ", 10,000/s"),
      ],
    },
    waiting: {
      title: "Events that wait",
      text: "Nobody answers. 10,000 calls, each by itself. A full queue holds 64 MiB. Smallest batches: `maxBatchEvents` is 1.",
      rounds: 2,
      rows: [1e3, 1e4, 1e5, 1e6, 0].flatMap((events) => {
        const label = events === 0 ? "a full queue of" : `${shown(events)} events in`;
        const given = { mode: "waiting", events } as const;
        const options = events === 0 ? {} : { maxQueueBytes: 2 ** 30 };
        return [
          ours(`${label} largest batches`, silent({ ...given, options })),
          ours(`${label} smallest batches`, silent({ ...given, options: { ...options, maxBatchEvents: 1 } })),
        ];
      }),
    },
    recovery: {
      title: `Recovery of ${isQuick ? "64 MiB" : "1 GiB"} of spool`,
      text: "Events of 1 KiB that a killed process left. The longest stall is that of the event loop.",
      rounds: 1,
      rows: [ours("cwlogger", task({ mode: "recover", ...spooled }, {}, true))],
    },
    import: {
      title: "Import",
      text: "In a fresh process, over the import of an empty module. CPU: of all threads, not over that.",
      rounds: 10,
      rows: [
        ours("cwlogger", program("import")),
        ...[SDK, ...peers.slice(1), "pino"].map((module) => theirs(module, program("import", { module }))),
      ],
    },
    script: {
      title: "node script.js, from start to end",
      text:
        "A program that imports cwlogger, logs one event and ends by itself. First event: when the service has it, from the " +
        "start of the process. Without credentials the instance's metadata service is one that refuses connections.",
      rows: [
        theirs("an empty program", program("empty")),
        ours("with credentials", program("end", withKeys)),
        ours("with credentials, goes on", program("stay", withKeys)),
        ours("without credentials", program("end", { env: REGION })),
        ours("log group `null`", program("null")),
      ],
    },
    fleet: {
      title: "A fleet under one quota",
      text:
        "Loggers in four processes, each with a log stream of its own; all flush at the end. Crowded: 200 want twice the quota; " +
        "ideal: all is stored when the last event is logged. Steady: 80 need 80 % of it, counted when the log streams are " +
        "there. Simulated: the worst of 20 seeds, and what other rules would do. Held up: the most that a timer was late.",
      node: newest,
      rounds: isAll ? 3 : 1,
      rows: [
        ours("crowded", fleet(CROWDED)),
        theirs("crowded, simulated", simulation(CROWDED)),
        theirs("… throttled batches resent as they were", simulation(CROWDED, { takesAlong: false })),
        theirs("… batches fill for the pace, no longer", simulation(CROWDED, { fill: 1 })),
        theirs("… the pace does not grow", simulation(CROWDED, { growth: 1 })),
        theirs("… flush leaves pauses as they are", simulation(CROWDED, { flushPauseMs: [60_000, 60_000] })),
        theirs("… flush ends pauses, all at once", simulation(CROWDED, { flushPauseMs: [0, 0] })),
        ours("steady", fleet(STEADY)),
        theirs("steady, simulated", simulation(STEADY)),
      ],
    },
    oldest: {
      title: "On the oldest Node.js",
      text: "The same as above, of cwlogger alone.",
      node: "20",
      rows: [
        ours("burst of structured records", task(size)),
        ours("burst of strings", task({ ...size, kind: "strings" })),
        ours("import", program("import")),
      ],
    },
  };
}
