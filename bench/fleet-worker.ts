/** A process of the fleet: some loggers, each of which logs at the pace that the parent tells. */
import { CloudwatchLogger } from "../cloudwatch.ts";
import { ACCESS } from "./candidates.ts";

/** `log`: from now on at so many events per second for each logger. */
export type FleetOrder = { op: "log"; perSecond: number } | { op: "flush"; timeoutMs: number };

/** Sums over the loggers of this process. */
export interface FleetAnswer {
  logged: number;
  pending: number;
  dropped: number;
  rejected: number;
}

const TICK_MS = 20;
const [, , endpoint = "", count = "0", batchEvents = "10"] = process.argv;
const options = { ...ACCESS, endpoint, maxBatchEvents: Number(batchEvents), onError() {}, onLoss() {} };
/** `due`: events not yet logged, with a fraction; it starts at random so that not all log in the same tick. */
const loggers = Array.from({ length: Number(count) }, () => ({
  logger: new CloudwatchLogger("fleet", options),
  due: Math.random(),
}));
let perSecond = 0;
let next = 0;
let last = performance.now();

setInterval(tick, TICK_MS);
process.on("message", async (order: FleetOrder) => {
  tick();
  if (order.op === "log") {
    const isFirst = next === 0;
    perSecond = order.perSecond;
    if (isFirst) for (const entry of loggers) entry.due = 1; // the whole fleet starts with an event
    tick();
  } else {
    await Promise.all(loggers.map(({ logger }) => logger.flush(order.timeoutMs)));
  }
  process.send?.(sums());
});
process.on("disconnect", () => process.kill(process.pid, "SIGKILL")); // undelivered events would be printed
process.send?.("ready");

function tick(): void {
  const now = performance.now();
  for (const entry of loggers) {
    entry.due += perSecond === 0 ? 0 : ((now - last) / 1_000) * perSecond;
    for (; perSecond > 0 && entry.due >= 1; entry.due--) entry.logger.info(`event ${process.pid} ${next++}`);
  }
  last = now;
}

function sums(): FleetAnswer {
  const all = loggers.map(({ logger }) => logger.stats());
  const total = (figure: keyof FleetAnswer) => all.reduce((sum, stats) => sum + stats[figure], 0);
  return { logged: total("logged"), pending: total("pending"), dropped: total("dropped"), rejected: total("rejected") };
}
