import { test } from "node:test";
import * as cwlogger from "cwlogger";
import scenario from "./scenario.cjs";

test("delivers", async ({ mock }) => {
  if (process.env.FAKE_TIMERS) mock.timers.enable({ now: Date.now() });
  await scenario(cwlogger);
});
