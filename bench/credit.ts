/**
 * Credit assignment: one million experiences in one call, and generated groups held against every law.
 *
 *     npm run bench -- credit
 *
 * Wanted: a million in under two seconds and in memory linear in their number; 20,000 groups a minute a core.
 */
import { causal, published } from "../src/kernels/credit/causal.ts"
import type { Experience } from "../src/kernels/credit/estimator.ts"
import { fuzzOne } from "../src/kernels/credit/fuzz/fuzz.ts"
import { stream } from "../src/kernels/random.ts"

/** Packs of eight lifecycles of four tasks, five model calls a task. */
const experiences = (packs: number): ReadonlyArray<Experience> => {
  const rng = stream("bench", "credit")
  return Array.from({ length: packs * 8 }, (_, lifecycle) => {
    const pack = `p${lifecycle >> 3}`
    const taskRewards = Array.from({ length: 4 }, () => rng.int(0, 1))
    return Array.from({ length: 20 }, (_, i): Experience => {
      const index = Math.floor(i / 5)
      const kind = i % 5 === 4 && index < 3 ? "update" : "solve"
      const reward = kind === "solve" ? taskRewards[index]! : 0
      const responseTokens = 10 + rng.int(0, 20) - 5 * reward
      return {
        id: `${lifecycle}/${i}`,
        pack,
        taskset: 0,
        run: lifecycle & 7,
        kind,
        index,
        step: i % 5,
        reward,
        taskRewards,
        responseTokens
      }
    })
  }).flat()
}

const timed = (size: number): number => {
  const given = experiences(size / 160)
  causal(given.slice(0, 16_000), published)
  const begin = process.hrtime.bigint()
  causal(given, published)
  return Number(process.hrtime.bigint() - begin) / 1e9
}

const [tenth, whole] = [timed(100_000), timed(1_000_000)]
console.log(
  `causal: 1,000,000 experiences in ${whole.toFixed(2)} s; ten times as many take ${(whole / tenth).toFixed(1)} times as long`
)

const before = process.cpuUsage()
const groups = 1_500
for (let number = 0; number < groups; number++)
  fuzzOne(number, causal, { mode: "causal", claimed: true, hostile: false, seed: 1 })
const { user, system } = process.cpuUsage(before)
const perMinute = (groups / ((user + system) / 1e6)) * 60
console.log(
  `fuzz: ${(perMinute / 1000).toFixed(1)}k groups a minute of processor time, ${(perMinute / 20_000).toFixed(1)} of what is wanted`
)
