// As much of the peers' types as is used, so that the repository compiles without `npm ci` in bench/.

declare module "pino" {
  export interface Logger {
    info(message: string): void;
    info(fields: object, message: string): void;
  }
  interface Pino {
    (options: { base: null }, stream: unknown): Logger;
    destination(options: { dest: string; sync: boolean }): unknown;
    transport(options: { target: string; options: object }): import("node:stream").Writable;
  }
  export const pino: Pino;
}

declare module "winston" {
  interface Winston {
    format(transform: (info: object) => object): () => unknown;
    createLogger(options: { format: unknown; transports: unknown[] }): {
      info(message: string, fields: object | undefined): void;
    };
  }
  const winston: Winston;
  export default winston;
}

declare module "winston-cloudwatch" {
  export default class WinstonCloudWatch {
    constructor(options: {
      cloudWatchLogs: unknown;
      logGroupName: string;
      logStreamName: string;
      uploadRate: number;
      messageFormatter: (info: object) => string;
    });
    readonly logEvents: unknown[];
  }
}

declare module "winston-aws-cloudwatch" {
  export default class CloudWatchTransport {
    constructor(options: object);
    log(info: unknown, callback: (...answer: unknown[]) => void): void;
  }
}

declare module "aws-cloudwatch-log" {
  export class Logger {
    constructor(config: object);
    log(...messages: unknown[]): void;
  }
}
