/** The service's process: a local CloudWatch Logs for each measurement, and at its end what became of the events. */
import { LocalCloudWatchLogs, type LocalCloudWatchLogsOptions } from "../testing/local-cloudwatch.ts";
import { numberOf, POOL_ITEMS } from "./records.ts";

/** `events`: how many are to arrive; where it is absent, nothing is checked. */
export type Order = { op: "start"; options: LocalCloudWatchLogsOptions } | { op: "stop"; events?: number | undefined };

/** `arrived`: what became of the events. `firstAt`: when the first request came, in ms since the epoch. */
export interface Arrival {
  arrived?: string | undefined;
  firstAt?: number | undefined;
}

let service: LocalCloudWatchLogs;
let arrivals: { timestamp: number; number: number }[] = [];

process.on("message", async (order: Order) => {
  process.send?.(order.op === "start" ? await start(order.options) : await stop(order.events));
});

async function start(options: LocalCloudWatchLogsOptions): Promise<{ endpoint: string }> {
  arrivals = [];
  globalThis.gc?.();
  const onEvents: LocalCloudWatchLogsOptions["onEvents"] = (_logGroupName, _logStreamName, events) => {
    for (const { timestamp, message } of events) arrivals.push({ timestamp, number: numberOf(message) });
  };
  service = await LocalCloudWatchLogs.start({ answerFirst: true, keepEvents: false, onEvents, ...options });
  return { endpoint: service.endpoint };
}

async function stop(events?: number): Promise<Arrival> {
  const firstAt = service.requests.find(({ action }) => action === "PutLogEvents")?.receivedAt;
  if (events !== undefined) service.settle();
  const arrived = events === undefined ? undefined : (service.violations[0] ?? judge(events));
  await service.close();
  return { arrived, firstAt };
}

/** CloudWatch Logs orders by timestamp, and events of one millisecond as they came in. */
function judge(events: number): string {
  if (arrivals.length < events) return "some lost";
  if (arrivals.length > events) return "some twice";
  arrivals.sort((a, b) => a.timestamp - b.timestamp);
  return arrivals.every(({ number }, index) => number === index % POOL_ITEMS) ? "all, in order" : "out of order";
}
