// AWS Lambda.                        npm install cwlogger @aws-sdk/client-cloudwatch-logs
import { CloudwatchLogger } from "cwlogger";

// One logger for all invocations of this instance.
const logger = new CloudwatchLogger("my-app", { fields: { function: process.env.AWS_LAMBDA_FUNCTION_NAME } });

export function handler(event, context) {
  return logger.withFields({ requestId: context.awsRequestId }, async () => {
    try {
      logger.info("order received", { orderId: event.orderId });
      if (event.orderId === undefined) throw new Error("there is no order");
      return { statusCode: 200 };
    } catch (error) {
      logger.error(error);
      return { statusCode: 500 };
    } finally {
      // Lambda freezes the process once the handler has returned: nothing may be on its way then.
      await logger.flush(2_000);
    }
  });
}
