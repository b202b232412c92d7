import { setTimeout as sleep } from "node:timers/promises"

/** Milliseconds of processor time of this thread. The kernel counts a thread's time when it sleeps. */
const processorMillis = async (): Promise<number> => {
  await sleep(1)
  const { system, user } = process.threadCpuUsage()
  return (user + system) / 1000
}

export const millisOf = async (work: () => Promise<unknown>): Promise<number> => {
  const started = await processorMillis()
  await work()
  return (await processorMillis()) - started
}
