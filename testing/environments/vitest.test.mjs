import * as cwlogger from "cwlogger";
import { test, vi } from "vitest";
import scenario from "./scenario.cjs";

test("delivers", async () => {
  if (process.env.FAKE_TIMERS) vi.useFakeTimers();
  await scenario(cwlogger);
});
