/**
 * The best direction to take under a belief, exactly: the decision problem over (belief, cell, steps left), solved by
 * memoised recursion.
 *
 * What counts, each only among equals in what stands before it: the probability of reaching the goal in this task, then
 * what will be known at its end, then fewer steps. Which of two equally unknown directions is which does not matter, so
 * beliefs are counted up to the names of directions: some dozens are left instead of thousands.
 */
import { distancesTo, steps } from "../frozen-lake/lake.ts"
import type { Reading } from "../frozen-lake/reading.ts"
import { type Belief, consistent, possible } from "./belief.ts"

/** A belief up to the names of directions: its four sets in order. These are shared by all lakes and made when needed. */
interface Knowing {
  readonly index: number
  /** 0 when nothing is known, 1 when everything is. */
  readonly information: number
  /** The different sets among the four; directions of the same set are as good as each other. */
  readonly kinds: ReadonlyArray<Kind>
}

interface Kind {
  readonly set: number
  /** How probable each move is. */
  readonly shares: ReadonlyArray<number>
  /** What is known when a direction of this kind has shown to be in a set of moves, by that set. */
  readonly shown: Array<Knowing | undefined>
  readonly others: Belief
}

const known = new Map<number, Knowing>()

const knowing = (belief: Belief): Knowing => {
  const sets = [...belief].sort((a, b) => a - b) as unknown as Belief
  const key = (((sets[0] << 4) | sets[1]) << 8) | (sets[2] << 4) | sets[3]
  const found = known.get(key)
  if (found !== undefined) return found
  const left = possible(sets)
  const made: Knowing = {
    index: known.size,
    information: 1 - Math.log(left.length) / Math.log(24),
    kinds: [...new Set(sets)].map((set) => {
      const direction = sets.indexOf(set)
      const shares = [0, 1, 2, 3].map(
        (move) => left.filter((mapping) => mapping[direction] === move).length / left.length
      )
      return { set, shares, shown: [], others: sets }
    })
  }
  known.set(key, made)
  return made
}

const show = (kind: Kind, moves: number): Knowing => {
  const found = kind.shown[moves]
  if (found !== undefined) return found
  const sets = [...kind.others] as [number, number, number, number]
  sets[sets.indexOf(kind.set)] = moves
  return (kind.shown[moves] = knowing(consistent(sets)!))
}

/** Small enough that a better chance of the goal always counts more, and information more than steps. */
const informationWeight = 1e-4
const stepWeight = 1e-7

/** The sets of moves that are best to take now: any direction of such a set will do. */
export const bestKinds = ({ size, at, goal, isHole, stepsLeft }: Reading, belief: Belief): ReadonlyArray<number> => {
  const to = steps(size)
  const cells = size * size
  const away = distancesTo(size, isHole, goal)
  const memo: Array<Float64Array | undefined> = []

  const worth = (now: Knowing, cell: number, left: number): number => {
    // Out of reach: what is known by now is all that is left to count, and one step ahead decides between moves.
    if (away[cell]! > left) return informationWeight * now.information
    const table = (memo[now.index] ??= new Float64Array(cells * (stepsLeft + 1)).fill(-1))
    const place = left * cells + cell
    if (table[place]! < 0) {
      let best = 0
      for (const kind of now.kinds) best = Math.max(best, worthOf(kind, cell, left))
      table[place] = best
    }
    return table[place]!
  }

  const worthOf = (kind: Kind, cell: number, left: number): number => {
    let sum = 0
    let edges = 0
    let stay = 0
    for (let move = 0; move < 4; move++) {
      const share = kind.shares[move]!
      if (share === 0) continue
      const next = to[4 * cell + move]!
      if (next === cell) {
        edges |= 1 << move
        stay += share
        continue
      }
      const then = show(kind, 1 << move)
      if (next === goal) sum += share * (1 + informationWeight * then.information + stepWeight * left)
      else if (isHole(next)) sum += share * informationWeight * then.information
      else sum += share * worth(then, next, left - 1)
    }
    return stay === 0 ? sum : sum + stay * worth(show(kind, edges), cell, left - 1)
  }

  const kinds = knowing(belief).kinds
  const worths = kinds.map((kind) => worthOf(kind, at, stepsLeft))
  const best = Math.max(...worths)
  return kinds.filter((_, i) => worths[i]! > best - 1e-12).map((kind) => kind.set)
}
