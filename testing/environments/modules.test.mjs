// Vitest and node:test.
import * as cwlogger from "cwlogger";
import scenario from "./scenario.cjs";

const { test, vi, mock } = await import(process.env.VITEST ? "vitest" : "node:test");
test("delivers", async () => {
  if (process.env.FAKE_TIMERS) vi ? vi.useFakeTimers() : mock.timers.enable({ now: Date.now() });
  await scenario(cwlogger);
});
