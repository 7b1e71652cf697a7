// Tests of a program that logs.      npm install cwlogger @aws-sdk/client-cloudwatch-logs && node --test
import assert from "node:assert/strict";
import { test } from "node:test";
import { CloudwatchLogger } from "cwlogger";
import { LocalCloudWatchLogs } from "cwlogger/testing";

function placeOrder(logger, orderId) {
  logger.info("order placed", { orderId });
}

test("an order is logged", async (t) => {
  const service = await LocalCloudWatchLogs.start();
  t.after(() => service.close());
  const logger = new CloudwatchLogger("my-app", {
    endpoint: service.endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
  });

  placeOrder(logger, 17);
  await logger.close();

  const events = service.events("my-app").map((event) => JSON.parse(event.message));
  assert.deepEqual(events, [{ level: "INFO", message: "order placed", orderId: 17 }]);
  assert.deepEqual(service.violations, []);
});
