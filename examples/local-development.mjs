// On your own machine.               npm install cwlogger @aws-sdk/client-cloudwatch-logs && node local-development.mjs
import { CloudwatchLogger } from "cwlogger";

// Without LOG_GROUP nothing is sent: events are printed, for people. With it CloudWatch Logs gets JSON, and they are
// printed too. See local-service.mjs for a CloudWatch Logs of your own.
const logger = new CloudwatchLogger(process.env.LOG_GROUP ?? null, { console: "text" });

logger.info("order placed", { orderId: 17 });
logger.child({ requestId: "r-1" }).warn("stock is low");
logger.error(new Error("card declined"), { orderId: 17 });
await logger.close();
