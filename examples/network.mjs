// Proxy, FIPS, dual-stack.           npm install cwlogger @aws-sdk/client-cloudwatch-logs
import { CloudwatchLogger } from "cwlogger";

// The environment says how AWS is reached; the program stays as it is.
//
//   NODE_USE_ENV_PROXY=1 HTTPS_PROXY=http://proxy:3128    through a proxy: Node.js 24, or 22 from 22.21 on
//   NO_PROXY=169.254.169.254,169.254.170.2                … but not to the credentials of EC2 and ECS
//   AWS_USE_FIPS_ENDPOINT=true                            logs-fips.us-east-1.amazonaws.com
//   AWS_USE_DUALSTACK_ENDPOINT=true                       logs.us-east-1.api.aws, by IPv6 too
//   AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=https://…            a VPC endpoint, an emulator
const logger = new CloudwatchLogger("my-app");
logger.info("order placed", { orderId: 17 });
await logger.close();
