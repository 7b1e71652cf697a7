// pino in the same process.          npm install pino cwlogger @aws-sdk/client-cloudwatch-logs
import { CloudwatchLogger } from "cwlogger";
import pino from "pino";

const logger = new CloudwatchLogger("my-app");
const log = pino(logger.stream());

log.info({ orderId: 17 }, "order placed");
log.child({ requestId: "r-1" }).warn("stock is low");
log.error(new Error("card declined"), "cannot charge");

// What is logged until the program ends is sent before it does; `await logger.flush()` waits for it at any other time.
