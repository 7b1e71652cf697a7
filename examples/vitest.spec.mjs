// Tests with Vitest.                 npm install vitest cwlogger @aws-sdk/client-cloudwatch-logs && npx vitest run
import { CloudwatchLogger } from "cwlogger";
import { afterEach, expect, test, vi } from "vitest";

// A program's logger, as its module exports it: without LOG_GROUP it needs no CloudWatch Logs.
const logger = new CloudwatchLogger(process.env.LOG_GROUP ?? null, { level: "silent" });

function placeOrder(orderId) {
  if (orderId === 13) logger.error(new Error("card declined"), { orderId });
  else logger.info("order placed", { orderId });
}

afterEach(() => vi.restoreAllMocks());

test("an order is logged", () => {
  const info = vi.spyOn(logger, "info");
  placeOrder(17);
  expect(info).toHaveBeenCalledExactlyOnceWith("order placed", { orderId: 17 });
});

test("a declined card is logged as an error", () => {
  const error = vi.spyOn(logger, "error");
  placeOrder(13);
  expect(error).toHaveBeenCalledExactlyOnceWith(new Error("card declined"), { orderId: 13 });
});

test("nothing hangs on the test's clock", async () => {
  vi.useFakeTimers();
  try {
    const client = { send: vi.fn() };
    const sending = new CloudwatchLogger("my-app", { client });
    sending.info("order placed");
    await sending.close();
    expect(client.send).toHaveBeenCalled();
  } finally {
    vi.useRealTimers();
  }
});
