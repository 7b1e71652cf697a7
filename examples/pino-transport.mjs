// pino with a worker thread.         npm install pino cwlogger @aws-sdk/client-cloudwatch-logs
import pino from "pino";

const log = pino(pino.transport({ target: "cwlogger", options: { logGroupName: "my-app" } }));

log.info({ orderId: 17 }, "order placed");
log.child({ requestId: "r-1" }).warn("stock is low");
log.error(new Error("card declined"), "cannot charge");
