// tslog 5 or 4.                      npm install tslog cwlogger @aws-sdk/client-cloudwatch-logs
import { CloudwatchLogger } from "cwlogger";
import { Logger } from "tslog";

const logger = new CloudwatchLogger("my-app", { level: "trace" }); // tslog decides about levels, by its minLevel
const log = new Logger({ type: "hidden", name: "orders", argumentsArrayName: "values" });

log.attachTransport(({ values, _logMeta, _meta }) => {
  const { logLevelName, name } = _logMeta ?? _meta; // tslog 5, tslog 4
  const level = logLevelName === "SILLY" ? "trace" : logLevelName;
  logger.child({ name }).log(level, ...values.map((value) => value?.nativeError ?? value));
});

log.info("order placed", { orderId: 17 });
log.getSubLogger({ name: "stock" }).warn("stock of %s is low", "apples");
log.error("cannot charge", new Error("card declined"));
log.silly({ cache: "warm" });
