/**
 * Turns for very many fibers: one queue, first come first served, carried out in slices of time.
 *
 * Effect's own scheduler carries out all that is due before the event loop goes on, and keeps a queue for each fiber. With
 * a hundred thousand lifecycles in flight that is seconds without timers, signals and messages, and a kilobyte for each.
 */
import { Scheduler } from "effect"

type Task = () => void

/** Longest time that the event loop waits, unless a single task takes longer. */
const sliceMillis = 5

/** A queue that forgets what it has handed out, a chunk at a time. */
class TaskQueue {
  readonly priority: number
  private waiting: Array<Task> = []
  private due: Array<Task> = []
  private next = 0
  constructor(priority: number) {
    this.priority = priority
  }
  get isEmpty(): boolean {
    return this.next === this.due.length && this.waiting.length === 0
  }
  push(task: Task): void {
    this.waiting.push(task)
  }
  take(): Task | undefined {
    if (this.next === this.due.length) {
      if (this.waiting.length === 0) return undefined
      this.due = this.waiting
      this.waiting = []
      this.next = 0
    }
    const task = this.due[this.next]!
    this.due[this.next++] = done
    return task
  }
}

const done: Task = () => {}

/** A scheduler whose fibers share one queue for each priority. */
export const makeScheduler = (): Scheduler.Scheduler => {
  const queues: Array<TaskQueue> = []
  let running = false
  const take = (): Task | undefined => {
    for (const queue of queues) {
      const task = queue.take()
      if (task !== undefined) return task
    }
    return undefined
  }
  const run = (): void => {
    const until = performance.now() + sliceMillis
    try {
      for (let task = take(); task !== undefined; task = take()) {
        task()
        if (performance.now() >= until) break
      }
    } finally {
      running = queues.some((queue) => !queue.isEmpty)
      if (running) setImmediate(run)
    }
  }
  const dispatcher: Scheduler.SchedulerDispatcher = {
    scheduleTask: (task, priority) => {
      let queue = queues.find((queue) => queue.priority === priority)
      if (queue === undefined) {
        queues.push((queue = new TaskQueue(priority)))
        queues.sort((a, b) => a.priority - b.priority)
      }
      queue.push(task)
      if (running) return
      running = true
      setImmediate(run)
    },
    flush: () => {
      for (let task = take(); task !== undefined; task = take()) task()
    }
  }
  return {
    executionMode: "async",
    shouldYield: (fiber) => fiber.currentOpCount >= fiber.cache.maxOpsBeforeYield,
    makeDispatcher: () => dispatcher
  }
}
