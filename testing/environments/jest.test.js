// LOGGER: the package, or the copied file for ts-jest.
test("delivers", async () => {
  if (process.env.FAKE_TIMERS) jest.useFakeTimers();
  await require("./scenario.cjs")(require(process.env.LOGGER ?? "cwlogger"));
});
