// Jest and mocha.
it("delivers", async () => {
  if (process.env.FAKE_TIMERS) jest.useFakeTimers();
  await require("./scenario.cjs")(require(process.env.LOGGER ?? "cwlogger"));
});
