/** A process of the fleet: so many loggers, each of which logs at the same pace for a while and is flushed then. */
import { CloudwatchLogger } from "../cloudwatch.ts";
import { ACCESS } from "./candidates.ts";
import type { Scenario } from "./fleet-simulation.ts";

export type FleetOrder = Scenario & { endpoint: string };

/** `heldUpMs`: how late a timer was at worst. Where that is more than a little, the machine is what was measured. */
export interface FleetAnswer {
  logged: number;
  heldUpMs: number;
}

const TICK_MS = 10;
await import("@aws-sdk/client-cloudwatch-logs"); // loading it is not what is measured
process.once("message", ({ endpoint, loggers: count, perSecond, forMs, flushIntervalMs }: FleetOrder) => {
  const options = { ...ACCESS, endpoint, flushIntervalMs, onError() {}, onLoss() {} };
  const loggers = Array.from({ length: count }, () => new CloudwatchLogger("fleet", options));
  const start = performance.now();
  let [logged, last, heldUpMs] = [0, start, 0];
  const timer = setInterval(log, TICK_MS);
  log();

  function log(): void {
    const now = performance.now();
    const elapsedMs = now - start;
    heldUpMs = Math.max(heldUpMs, now - last - TICK_MS);
    last = now;
    for (const due = (Math.min(elapsedMs, forMs - 1) / 1_000) * perSecond; logged <= due; logged++) {
      for (const [index, logger] of loggers.entries()) logger.info(`event ${process.pid} ${index} ${logged}`);
    }
    if (elapsedMs < forMs) return;
    clearInterval(timer);
    void Promise.all(loggers.map((logger) => logger.flush(60_000))).then(() =>
      process.send?.({ logged: logged * count, heldUpMs } satisfies FleetAnswer),
    );
  }
});
process.on("disconnect", () => process.kill(process.pid, "SIGKILL")); // undelivered events would be printed
process.send?.("ready");
