/** The service's process: a local CloudWatch Logs for each measurement, and what became of the events at its end. */
import { LocalCloudWatchLogs, type LocalCloudWatchLogsOptions, type LocalEvent } from "../testing/local-cloudwatch.ts";
import { distinctIds, indexOf, isIntact, type Kind } from "./records.ts";

/** `events`: how many are to arrive. */
export type Order =
  | { op: "start"; kind: Kind; events: number; options: LocalCloudWatchLogsOptions }
  | { op: "settle" }
  | { op: "stop" };

/** What became of the events of one measurement. */
export interface Arrival {
  lost: number;
  duplicates: number;
  /** Events that stand in the log stream where another one belongs. */
  disordered: number;
  /** Of the sampled events, those whose content is not what was logged. */
  damaged: number;
  violations: number;
  firstViolation: string;
  requests: number;
  wireBytes: number;
}

/** One event in so many is compared with what was logged. */
const SAMPLE = 97;
/** Above, the order of events is not checked: that takes memory. */
const MAX_ORDERED_EVENTS = 1_500_000;

let service: LocalCloudWatchLogs;
let expected: { kind: Kind; events: number };
let counts: Uint32Array;
let unknown = 0;
let damaged = 0;
let received = 0;
let wireBytes = 0;
/** Indexes of the events of each millisecond, as they came in. */
let byTimestamp = new Map<number, number[]>();

process.on("message", async (order: Order) => {
  process.send?.(await obey(order));
});

async function obey(order: Order): Promise<unknown> {
  switch (order.op) {
    case "start": {
      const { kind, events, options } = order;
      expected = { kind, events };
      counts = new Uint32Array(distinctIds(kind, events));
      unknown = damaged = received = wireBytes = 0;
      byTimestamp = new Map();
      globalThis.gc?.();
      service = await LocalCloudWatchLogs.start({ answerFirst: true, keepEvents: false, ...options, onEvents });
      return { endpoint: service.endpoint };
    }
    case "settle":
      settle();
      return {};
    case "stop": {
      settle();
      const { violations } = service;
      const arrival: Arrival = {
        ...compare(),
        disordered: countDisordered(),
        damaged,
        violations: violations.length,
        firstViolation: violations[0] ?? "",
        requests: service.counts.PutLogEvents,
        wireBytes,
      };
      await service.close();
      return arrival;
    }
  }
}

function settle(): void {
  service.settle();
  for (const { action, bytes } of service.requests) if (action === "PutLogEvents") wireBytes += bytes;
  service.requests.length = 0;
}

function onEvents(_logGroupName: string, _logStreamName: string, events: LocalEvent[]): void {
  for (const { timestamp, message } of events) {
    const index = indexOf(message);
    if (index === undefined || index >= counts.length) {
      unknown++;
      continue;
    }
    counts[index] = (counts[index] ?? 0) + 1;
    if (received++ % SAMPLE === 0 && !isIntact(expected.kind, index, message)) damaged++;
    if (expected.events > MAX_ORDERED_EVENTS) continue;
    const indexes = byTimestamp.get(timestamp);
    if (indexes) indexes.push(index);
    else byTimestamp.set(timestamp, [index]);
  }
}

/** Each index is to have come as often as it was logged. */
function compare(): { lost: number; duplicates: number } {
  let lost = 0;
  let duplicates = unknown;
  for (let index = 0; index < counts.length; index++) {
    const missing = Math.ceil((expected.events - index) / counts.length) - (counts[index] ?? 0);
    if (missing > 0) lost += missing;
    else duplicates -= missing;
  }
  return { lost, duplicates };
}

/** CloudWatch Logs orders by timestamp, and events of one millisecond as they came in. */
function countDisordered(): number {
  let disordered = 0;
  let previous = -1;
  for (const timestamp of [...byTimestamp.keys()].sort((a, b) => a - b)) {
    for (const index of byTimestamp.get(timestamp) ?? []) {
      if (index !== (previous + 1) % counts.length) disordered++;
      previous = index;
    }
  }
  return disordered;
}
