// bunyan.                            npm install bunyan cwlogger @aws-sdk/client-cloudwatch-logs
import bunyan from "bunyan";
import { CloudwatchLogger } from "cwlogger";

const logger = new CloudwatchLogger("my-app");

// Raw: events in cwlogger's format, { "level": "INFO", "message": "order placed", "orderId": 17, … }
const raw = [{ type: "raw", stream: logger.stream() }];
const log = bunyan.createLogger({ name: "raw", serializers: bunyan.stdSerializers, streams: raw });
log.info({ orderId: 17 }, "order placed");
log.child({ requestId: "r-1" }).warn("stock is low");
log.error(new Error("card declined"), "cannot charge");

// Text: bunyan's own JSON lines, { "level": 30, "msg": "order placed", "orderId": 17, … }
const lines = bunyan.createLogger({ name: "text", serializers: bunyan.stdSerializers, stream: logger.stream() });
lines.info({ orderId: 17 }, "order placed");
lines.error(new Error("card declined"), "cannot charge");
