/** Checks of how episodes end and of the scripted agents that an environment brings. */
import { Effect, Exit } from "effect"
import { initialContext } from "../environment.ts"
import type { Episode, Lifecycle } from "../machines/episode.ts"
import { defaultSettings, isFault } from "../machines/lifecycle.ts"
import { Policy } from "../policies/policy.ts"
import { scripted } from "../policies/scripted.ts"
import { stream } from "../kernels/random.ts"
import {
  agentNames,
  cpuMillis,
  type AgentName,
  type Live,
  place,
  play,
  speaker,
  type Specimen,
  type Verdict,
  verdict
} from "./conformance-specimen.ts"
import { runLifecycle } from "./lifecycle.ts"

export const live: Live = (pack, agent, contexts) =>
  runLifecycle({ pack, run: 0, settings: defaultSettings, ...(contexts === undefined ? {} : { contexts }) }).pipe(
    Effect.provideService(Policy, scripted(pack.environment, agent)),
    Effect.runSync
  )

const solves = (lives: ReadonlyArray<Lifecycle>): ReadonlyArray<Episode> =>
  lives.flatMap(({ episodes }) => episodes.filter(({ kind }) => kind === "solve"))

const at = ({ index, kind }: Episode): string => `${kind} ${index}`

/** The engine stops an episode that goes on for as long; whoever gets there does not end by itself. */
const endless = 1000

const termination = ({ tasks }: Specimen): Verdict => {
  let longest = 0
  const problems = tasks()
    .slice(0, 2)
    .flatMap((task) => {
      const random = speaker(task, "random", "ending")
      let first: string | undefined
      const speakers = {
        "random answers": random,
        "answers that can't be read": () => "no answer",
        "the same answer over and over": (...at: Parameters<typeof random>) => (first ??= random(...at))
      }
      return Object.entries(speakers).flatMap(([name, speak]) => {
        const { replies, solves } = play(task, `ending ${name}`, speak, endless)
        longest = Math.max(longest, replies.length)
        return solves.at(-1)!.world.status === "active"
          ? [`with ${name} an episode does not end within ${endless} steps (position ${task.position})`]
          : []
      })
    })
  return verdict(problems, `every episode ends by itself, the longest after ${longest} steps`, { longest })
}

const outcomes = ({ environment, lives, tasks }: Specimen): Verdict => {
  const counts: Record<string, Record<string, number>> = {}
  const problems = agentNames.flatMap((agent) => {
    const count: Record<string, number> = (counts[agent] = {})
    return lives(agent).flatMap(({ episodes }) =>
      episodes.flatMap((episode) => {
        const { kind, outcome, why } = episode
        if (kind === "solve") count[outcome] = (count[outcome] ?? 0) + 1
        if (isFault(outcome)) return [`${agent}, ${at(episode)}: ${outcome}, ${why}`]
        if (outcome === "malformed") return [`${agent}, ${at(episode)}: its own reply can't be read: ${why}`]
        return []
      })
    )
  })
  // Where every text is an answer, none can be misread.
  const unread = ("why" in environment.chat.parse("no answer") ? tasks() : []).flatMap((task) => {
    const { solves } = play(task, "unread", () => "no answer", endless)
    const outcome = String(solves.at(-1)!.agent.value)
    return outcome === "success" || outcome === "failure"
      ? [`an episode of answers that can't be read ended as ${outcome}`]
      : []
  })
  return verdict(
    [...problems, ...new Set(unread)],
    "every end is told apart: nothing is lost, no agent is misread",
    counts
  )
}

const rewards = ({ environment, taskSet, tasks }: Specimen): Verdict => {
  const [lowest, highest] = environment.rewardBounds?.(taskSet.options) ?? [-1, 1]
  const found = { lowest: Infinity, highest: -Infinity }
  const problems = tasks().flatMap((task) =>
    [...agentNames, "nobody"].flatMap((name) => {
      const speak = name === "nobody" ? () => "no answer" : speaker(task, name as AgentName, `rewards ${name}`)
      const { replies, solves } = play(task, `rewards ${name}`, speak, endless)
      const output = solves.at(-1)!.world.output as { readonly reward: number; readonly success: boolean } | undefined
      if (output === undefined) return []
      const { reward, success } = output
      found.lowest = Math.min(found.lowest, reward)
      found.highest = Math.max(found.highest, reward)
      const where = place(task, replies.length - 1)
      if (reward > highest || reward < lowest)
        return [`${name} got a reward of ${reward}, expected ${lowest} to ${highest} (${where})`]
      return success && reward <= 0 && environment.delaysReward !== true
        ? [`${name} succeeded and got a reward of ${reward} (${where})`]
        : []
    })
  )
  return verdict(problems, `rewards before shaping from ${round(found.lowest)} to ${round(found.highest)}`, found)
}

const round = (value: number): number => Number(value.toPrecision(3))

/** Agents keep nothing between calls: asked again in reverse order, they say the same. */
const memoryless = ({ environment, few, lives }: Specimen): Verdict => {
  const problems = agentNames.flatMap((agent) => {
    const asked: Array<readonly [() => string, string]> = []
    const policy = scripted(environment, agent)
    for (const [i, pack] of few().entries()) {
      let calls = 0
      const reply: Policy["Service"]["reply"] = (request) => {
        const name = ["asked again", agent, i, calls++] as const
        const ask = () => {
          const exit = policy.reply({ ...request, rng: stream(...name) })
          return Exit.isExit(exit) && Exit.isSuccess(exit) ? (exit.value as { readonly text: string }).text : "(none)"
        }
        const text = ask()
        asked.push([ask, text])
        return Exit.succeed({ text, promptTokens: [], tokens: [], logprobs: [], policyVersion: 0, truncated: false })
      }
      runLifecycle({ pack, run: 0, settings: defaultSettings }).pipe(
        Effect.provideService(Policy, { ...policy, reply }),
        Effect.runSync
      )
    }
    return asked.toReversed().some(([ask, text]) => ask() !== text)
      ? [`${agent} says something else when it is asked again: it keeps something outside of its context`]
      : []
  })
  const written = lives("amnesiac")
    .flatMap(({ episodes }) => episodes)
    .find(({ contextAfter }) => contextAfter !== initialContext)
  if (written !== undefined) {
    const expected = `${JSON.stringify(initialContext)}, the context of one who knows nothing`
    problems.push(`amnesiac writes ${JSON.stringify(written.contextAfter.slice(0, 80))}, expected ${expected}`)
  }
  return verdict(problems, "agents keep nothing but their context, and amnesiac not even that")
}

/** Where nothing is carried over, careful and amnesiac are one. */
const forgetful = ({ lives, packs, packSize }: Specimen): Verdict => {
  const nothing = Array.from({ length: packSize }, () => initialContext)
  const replies = (lifecycle: Lifecycle) =>
    JSON.stringify(solves([lifecycle]).map(({ steps }) => steps.map(({ reply }) => reply)))
  const amnesiac = lives("amnesiac")
  const differs = packs()
    .slice(0, 4)
    .some((pack, i) => replies(live(pack, "careful", nothing)) !== replies(amnesiac[i]!))
  return verdict(
    differs ? ["careful without its context acts otherwise than amnesiac"] : [],
    "careful without its context acts as amnesiac does"
  )
}

const mean = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, n) => sum + n, 0) / numbers.length

const solvable = ({ lives }: Specimen): Verdict => {
  const rate = Object.fromEntries(
    agentNames.map((agent) => {
      const episodes = solves(lives(agent))
      const success = mean(episodes.map(({ success }) => Number(success)))
      return [agent, { success: round(success), reward: round(mean(episodes.map(({ reward }) => reward))) }]
    })
  ) as Record<AgentName, { readonly success: number; readonly reward: number }>
  const { oracle, random } = rate
  return verdict(
    [
      ...(oracle.success === 0
        ? ["oracle never succeeds: either the tasks can't be solved or it can't solve them"]
        : []),
      ...(oracle.reward < random.reward
        ? [`oracle's reward is ${oracle.reward}, less than random's ${random.reward}`]
        : [])
    ],
    `oracle solves ${Math.round(100 * oracle.success)} % of the tasks, random ${Math.round(100 * random.success)} %`,
    rate,
    oracle.success < 0.5 ? [`oracle solves only ${Math.round(100 * oracle.success)} % of the tasks`] : []
  )
}

/** Whether what is learnt at one task pays at the next, after the first position. */
const transfer = ({ lives, packSize }: Specimen): Verdict => {
  const curve = (agent: AgentName) =>
    Array.from({ length: packSize }, (_, position) =>
      round(mean(solves(lives(agent)).flatMap(({ index, reward }) => (index === position ? [reward] : []))))
    )
  const later = (lifecycle: Lifecycle) =>
    mean(
      solves([lifecycle])
        .slice(1)
        .map(({ reward }) => reward)
    )
  const careful = lives("careful").map(later)
  const gains = lives("amnesiac").map((lifecycle, i) => careful[i]! - later(lifecycle))
  const gain = mean(gains)
  const error = Math.sqrt(mean(gains.map((g) => (g - gain) ** 2)) / gains.length)
  return verdict(
    [],
    `careful gains ${round(gain)} a task over amnesiac after the first`,
    { careful: curve("careful"), amnesiac: curve("amnesiac"), gain, standardError: error },
    gain > 2 * error
      ? []
      : ["careful does no better than amnesiac after the first task: nothing that transfers was found"]
  )
}

/** Demonstrations live lifecycles of the terse style, without being misread. */
const demonstrations = ({ environment, packs }: Specimen): Verdict => {
  const { demonstrate, terse } = environment
  if (demonstrate === undefined) return verdict([], "no demonstrations: a new policy can't be warmed up on it")
  if (terse === undefined) return verdict(["there are demonstrations, but no terse style to give them in"], "")
  const known = new Set(terse.vocabulary)
  const problems = new Set<string>()
  const shares: Record<string, number> = {}
  if (demonstrate.stages.length < 2) problems.add("a warm start needs two stages, a drill and something mediocre")
  for (const stage of demonstrate.stages) {
    const ended: Array<Episode> = []
    for (const [i, pack] of packs().entries()) {
      let calls = 0
      const reply: Policy["Service"]["reply"] = ({ context, kind, messages }) => {
        const { reply: text } = demonstrate.reply(
          stage,
          { kind, messages },
          context,
          stream("shown", stage, i, calls++)
        )
        const said = text === "" ? [] : text.split(" ")
        const stranger = said.find((word) => !known.has(word))
        if (stranger !== undefined)
          problems.add(`${stage} says ${JSON.stringify(stranger)}, which is not in the vocabulary`)
        // The end of a reply of an update episode is a token too.
        const most = terse.replyTokens[kind] - (kind === "update" ? 1 : 0)
        if (said.length > most) problems.add(`${stage} says ${said.length} words in a reply of at most ${most}`)
        return Exit.succeed({ text, promptTokens: [], tokens: [], logprobs: [], policyVersion: 0, truncated: false })
      }
      const firstContext = demonstrate.context(stage, pack.knowledge(), stream("shown", stage, i, "context"))
      const settings = { ...defaultSettings, style: "terse" as const }
      const { episodes } = runLifecycle({ pack, run: 0, settings, firstContext }).pipe(
        Effect.provideService(Policy, { name: stage, style: "terse", reply }),
        Effect.runSync
      )
      ended.push(...episodes)
    }
    for (const episode of ended) {
      if (isFault(episode.outcome) || episode.outcome === "malformed")
        problems.add(`${stage}, ${at(episode)}: ${episode.outcome}, ${episode.why}`)
    }
    shares[stage] = round(mean(ended.flatMap(({ kind, success }) => (kind === "solve" ? [Number(success)] : []))))
  }
  return verdict(
    [...problems],
    `demonstrations are read; successes: ${Object.entries(shares)
      .map(([stage, share]) => `${stage} ${share}`)
      .join(", ")}`,
    shares
  )
}

const slowMillis = 20

const cost = ({ packs }: Specimen): Verdict => {
  const started = cpuMillis()
  const steps = packs()
    .slice(0, 4)
    .map((pack) => solves([live(pack, "random")]).reduce((sum, episode) => sum + episode.steps.length, 0))
    .reduce((sum, n) => sum + n, 0)
  const millis = (cpuMillis() - started) / Math.max(1, steps)
  const text = `${millis < 1 ? `${Math.round(1000 * millis)} microseconds` : `${round(millis)} ms`} a step, sampling of packs included`
  return verdict(
    [],
    text,
    { millisPerStep: millis, steps },
    millis > slowMillis ? [`${text}: more than ${slowMillis} ms`] : []
  )
}

export const agentChecks = {
  termination,
  outcomes,
  rewards,
  memoryless,
  forgetful,
  solvable,
  transfer,
  demonstrations,
  cost
}
