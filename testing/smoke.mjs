/**
 * The core on any runtime: log, flush, close, split, timers, spool, stream.
 *
 *     node testing/smoke.mjs [module of the logger] [module of the local service]
 *
 * Modules are given relative to this file. Without them, what `npm run build` made is used. Prints what it checked;
 * exits with 1 where something is wrong.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

const [loggerModule = "../dist/cloudwatch.mjs", serviceModule = "../dist/testing.mjs"] = process.argv.slice(2);
const { CloudwatchLogger } = await import(loggerModule);
const { LocalCloudWatchLogs } = await import(serviceModule);

const service = await LocalCloudWatchLogs.start();
const options = {
  endpoint: service.endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "key", secretAccessKey: "secret" },
  overflow: "split",
  retentionInDays: 7,
  tags: { team: "logging" },
};
const trouble = [];
const hear = { onError: (error) => trouble.push(error), onLoss: (loss) => trouble.push(loss) };
const jsonOf = (group) => service.events(group).map(({ message }) => JSON.parse(message));

await check("log and flush", async () => {
  await using(new CloudwatchLogger("log", { ...options, ...hear }), async (logger) => {
    logger.info("order placed", { orderId: 17 });
    logger.child({ requestId: "r1" }).error(new Error("card declined"));
    logger.debug("below the threshold");
    const stats = await logger.flush();
    assert.deepEqual([stats.logged, stats.delivered, stats.pending], [2, 2, 0]);
  });
  const [first, second] = jsonOf("log");
  assert.deepEqual(first, { level: "INFO", message: "order placed", orderId: 17 });
  assert.deepEqual([second.level, second.message, second.requestId], ["ERROR", "card declined", "r1"]);
  assert.match(second.error.stack, /smoke\.mjs/);
  assert.deepEqual(service.logGroups()[0]?.tags, options.tags);
});

await check("close", async () => {
  const logger = new CloudwatchLogger("close", { ...options, ...hear, flushIntervalMs: 60_000 });
  for (let index = 0; index < 25_000; index++) logger.info("event", { index });
  const stats = await logger.close();
  assert.equal(stats.delivered, 25_000);
  assert.deepEqual(
    jsonOf("close").map(({ index }) => index),
    Array.from({ length: 25_000 }, (_, index) => index),
  );
});

await check("split", async () => {
  const message = "αβγ 🚀 ".repeat(200_000);
  await using(new CloudwatchLogger("split", { ...options, ...hear }), (logger) => logger.info(message));
  const parts = jsonOf("split");
  assert.ok(parts.length > 1);
  assert.equal(parts.map((part) => part.message).join(""), message);
});

await check("timer", async () => {
  const logger = new CloudwatchLogger("timer", { ...options, ...hear, flushIntervalMs: 20 });
  logger.info("sent by itself");
  // The service keeps the process alive, the logger does not.
  for (let tries = 0; service.events("timer").length === 0; tries++) {
    assert.ok(tries < 500, "the event did not arrive by itself");
    await wait(10);
  }
  await logger.close();
});

await check("spool", async () => {
  const spoolDirectory = mkdtempSync(join(tmpdir(), "cwlogger-smoke-"));
  // Nobody listens at that endpoint: what is logged stays on disk, for the next logger of the same log group.
  const unreachable = { ...options, endpoint: "http://127.0.0.1:9", spoolDirectory, onError: () => {} };
  const logger = new CloudwatchLogger("spool", { ...unreachable, onLoss: hear.onLoss });
  logger.info("kept on disk");
  assert.equal((await logger.close(500)).pending, 1);
  assert.notEqual(readdirSync(spoolDirectory).length, 0);
  await using(new CloudwatchLogger("spool", { ...options, ...hear, spoolDirectory }), async (heir) => {
    heir.info("next");
    for (let tries = 0; service.events("spool").length < 2 && tries < 500; tries++) await wait(10);
  });
  assert.deepEqual(
    jsonOf("spool")
      .map((event) => event.message)
      .sort(),
    ["kept on disk", "next"],
  );
  rmSync(spoolDirectory, { recursive: true });
});

await check("stream", async () => {
  await using(new CloudwatchLogger("stream", { ...options, ...hear }), async (logger) => {
    const stream = logger.stream();
    stream.write("first line\nsecond ");
    await new Promise((resolve) => stream.end("line\n", resolve));
  });
  assert.deepEqual(
    service.events("stream").map(({ message }) => message),
    ["first line", "second line"],
  );
});

assert.deepEqual(service.violations, []);
assert.deepEqual(trouble, []);
await service.close();

async function check(name, body) {
  await body();
  console.log(`ok ${name}`);
}

function wait(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** `await using`, which not every runtime knows. */
async function using(logger, body) {
  await body(logger);
  await logger[Symbol.asyncDispose]();
}
