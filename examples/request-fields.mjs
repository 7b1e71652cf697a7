// Fields of a request, everywhere.   npm install cwlogger @aws-sdk/client-cloudwatch-logs
import { setTimeout } from "node:timers/promises";
import { CloudwatchLogger } from "cwlogger";

const logger = new CloudwatchLogger("my-app");
const database = logger.child({ component: "database" });

async function readOrder(orderId) {
  await setTimeout(10);
  database.info("order read", { orderId });
}

async function handle(requestId, orderId) {
  await logger.withFields({ requestId }, async () => {
    logger.info("request received");
    await readOrder(orderId);
    logger.info("request answered");
  });
}

// Both at once, and yet each event has the id of its own request.
await Promise.all([handle("r-1", 17), handle("r-2", 18)]);
