/** Memory that should not wait for the garbage collector. */

/**
 * Gives the memory behind `bytes` back at once; from then on `bytes` is empty. Left to the collector, a gigabyte of buffers costs full collections
 * of the whole heap. Only for who made the buffer and lends it to nobody any more. Does nothing to a buffer that holds more than `bytes`.
 */
export function giveBack(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength) buffer.transfer(0);
}
