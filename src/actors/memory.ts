import { totalmem } from "node:os"

/** Memory that this process may use: the machine's, or what a container leaves of it. */
export const memoryBytes = (): number => {
  const constrained = process.constrainedMemory()
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
}
