/**
 * Room for the access log on its disk. While there is plenty, a reserve lies allocated; when room becomes scarce nothing new is released, and when it runs
 * out the reserve is given up, so that ends, denials and alerts still find a place. When that is used up too, streams are cut. Back by itself.
 */
import { DEFAULTS } from '../domain/classes.ts';

export type Room =
  | 'ample'
  /** Less than the reserve is free besides it: nothing new is released. */
  | 'low'
  /** The reserve was given up, or could not be made. */
  | 'spent'
  /** That too is used: streams are cut, because their ends may find no place. */
  | 'gone';

/** The disk that the log is on. */
export interface RoomDisk {
  /** Bytes that this process may still write, the reserve not counted. */
  free(): Promise<number>;
  isReserved(): Promise<boolean>;
  /** Allocates the reserve, durably and whole; false, and nothing left of it, when it does not fit. */
  reserve(bytes: number): Promise<boolean>;
  giveUp(): Promise<void>;
}

export interface LogRoomOptions {
  readonly disk: RoomDisk;
  readonly reserveBytes?: number | undefined;
  readonly onChange?: ((now: Room, before: Room) => void) | undefined;
  /** The disk did not even say how much is free. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

export interface LogRoom {
  now(): Room;
  /** Looks once. Never rejects. Looks never overlap. */
  look(): Promise<void>;
  /** Looks, and again each `logRoomMs`. Resolves after the first look. */
  start(): Promise<void>;
  stop(): void;
}

export function createLogRoom({ disk, reserveBytes = DEFAULTS.logReserveBytes, onChange, onError }: LogRoomOptions): LogRoom {
  const [tight, last, slack] = [reserveBytes / 8, reserveBytes / 32, reserveBytes / 8];
  let room: Room = 'ample';
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;

  async function next(): Promise<Room> {
    const free = await disk.free();
    if (!(await disk.isReserved())) {
      if (free < reserveBytes + reserveBytes + slack) return withoutReserve(free);
      return (await disk.reserve(reserveBytes)) ? 'ample' : withoutReserve(await disk.free());
    }
    if (free < tight) {
      await disk.giveUp();
      return withoutReserve(await disk.free());
    }
    // What was low is not ample again at the first byte: one release more or less must not make it go to and fro.
    return free < reserveBytes + (room === 'ample' ? 0 : slack) ? 'low' : 'ample';
  }

  const withoutReserve = (free: number): Room => (free < last ? 'gone' : 'spent');

  async function lookOnce(): Promise<void> {
    try {
      const now = await next();
      const before = room;
      room = now;
      if (now !== before) onChange?.(now, before);
    } catch (error) {
      onError?.(error);
    }
  }

  const look = () => {
    looking ??= lookOnce().finally(() => {
      looking = undefined;
    });
    return looking;
  };
  return {
    now: () => room,
    look,
    async start() {
      await look();
      timer = setInterval(() => void look(), DEFAULTS.logRoomMs);
    },
    stop: () => clearInterval(timer),
  };
}
