// winston 3.                         npm install winston cwlogger @aws-sdk/client-cloudwatch-logs
import { CloudwatchLogger } from "cwlogger";
import winston from "winston";

const { combine, errors, json, timestamp } = winston.format;
const logger = new CloudwatchLogger("my-app");
const log = winston.createLogger({
  // Without errors({ stack: true }) an Error is logged by its message alone.
  format: combine(errors({ stack: true }), timestamp(), json()),
  transports: [logger.stream()],
});

log.info("order placed", { orderId: 17 });
log.child({ requestId: "r-1" }).warn("stock is low");
log.error(new Error("card declined"));
