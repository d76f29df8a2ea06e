/** The operational log: for whoever runs the process. Never the access record, and never a secret: fields are ids, codes and counts. */
import winston from 'winston';

export type Logger = {
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
};
export type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

/** JSON lines on standard error, so that standard output stays a command's own. */
export function createLogger(level: 'info' | 'warn' | 'error' = 'info'): Logger {
  return winston.createLogger({
    level,
    format: winston.format.combine(winston.format.timestamp(), winston.format.json()),
    transports: [new winston.transports.Console({ stderrLevels: ['error', 'warn', 'info'] })],
  });
}
