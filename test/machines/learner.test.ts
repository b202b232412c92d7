import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { course, type CourseEvent, type CourseInput } from "../../src/machines/learner.ts"

const plan: CourseInput = {
  drill: { minimum: 3, maximum: 6, recall: 0.8 },
  settle: 2,
  updates: 2,
  skipWarmStart: false
}

const walk = (input: CourseInput, events: ReadonlyArray<CourseEvent>) => {
  let [at] = course.initial(input)
  const states = [at.value]
  for (const event of events) {
    ;[at] = course.transition(at, event)
    states.push(at.value)
  }
  return { at, states }
}
const shown = (recall: number): CourseEvent => ({ type: "demonstrated", recall })
const updated: CourseEvent = { type: "updated" }

describe("the course of a training run", () => {
  it("drills at least the minimum, however well it goes, then settles, then improves", () => {
    const { states } = walk(plan, [shown(1), shown(1), shown(1), shown(1), shown(1), updated, updated])
    expect(states).toEqual([
      "drilling",
      "drilling",
      "drilling",
      "settling",
      "settling",
      "improving",
      "improving",
      "finished"
    ])
  })

  it("drills no longer than the maximum, however badly it goes", () => {
    const { states } = walk(
      plan,
      Array.from({ length: 6 }, () => shown(0))
    )
    expect(states.at(-1)).toBe("settling")
    expect(states.at(-2)).toBe("drilling")
  })

  it("is not impressed by a single good batch", () => {
    const { states } = walk(plan, [shown(0), shown(0), shown(0), shown(1)])
    expect(states.at(-1)).toBe("drilling")
  })

  it("skips the warm start for a policy that is given, and everything when there is nothing to do", () => {
    expect(walk({ ...plan, skipWarmStart: true }, []).states).toEqual(["improving"])
    expect(walk({ ...plan, skipWarmStart: true, updates: 0 }, []).states).toEqual(["finished"])
  })

  it("never leaves its plan, whatever is reported", () => {
    const event = fc.oneof(fc.constant(updated), fc.double({ min: 0, max: 1, noNaN: true }).map(shown))
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        const { context } = walk(plan, events).at
        expect(context.step).toBeLessThan(Math.max(plan.drill.maximum, plan.settle))
        expect(context.update).toBeLessThanOrEqual(plan.updates)
        expect(JSON.parse(JSON.stringify(context))).toEqual(context)
      })
    )
  })
})
