/**
 * Canonical JSON of episodes as bytes: written fast, kept small.
 *
 * The prompts of an episode repeat each other, an update repeats what it looks back at, and all lifecycles of a simulation
 * begin alike, so nine tenths of the text is there already when it is written. The writer copies it instead, and remembers
 * the copies: packed, a text is what is new in it and where the rest stands. Texts are `canonicalJson`'s to the byte.
 */
import type { EpisodeKind, Style } from "../environment.ts"
import { continuation } from "../machines/agent.ts"
import { chatContext } from "../machines/context-store.ts"
import type { Episode, Step } from "../machines/episode.ts"
import { countsFromNumbers, countsOf, countsToNumbers, type EpisodeCounts } from "./tally.ts"

/** JSON with the keys of every object in order: equal values give equal texts. */
export const canonicalJson = (value: unknown): string => JSON.stringify(ordered(value))

const ordered = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return typeof value[0] === "object" ? value.map(ordered) : value
  const object = value as Record<string, unknown>
  const sorted: Record<string, unknown> = {}
  for (const key of Object.keys(object).sort()) sorted[key] = ordered(object[key])
  return sorted
}

/** An episode without its times, which are all that may differ between two runs of the same plan. */
export const untimed = ({ timing: _timing, ...episode }: Episode): Omit<Episode, "timing"> => episode

/** Shorter repetitions are not worth remembering. */
const leastCopy = 16

/** Before each text stands what all texts of a simulation resemble: the first prompts that were seen. */
const modelCharacters = 8192
const modelBytes = 4 * modelCharacters
const places: Record<EpisodeKind, number> = { solve: 0, update: modelBytes }
/** And the first long parts of prompts that were seen, as they are. */
const mostStanding = 24
const base = (2 + mostStanding) * modelBytes
/** Shorter parts are not compared with a model. */
const leastLike = 256

/** A text that stands somewhere already. */
interface Piece {
  readonly text: string
  readonly at: number
  readonly bytes: number
}

/** A text that others resemble, with the place of each of its characters. */
interface Model {
  readonly text: string
  readonly offsets: Int32Array
}

/** An episode in unpacked text. */
export interface EpisodePlace {
  readonly start: number
  readonly end: number
  readonly timing: Episode["timing"]
}

/** Canonical JSON of a few episodes of one lifecycle, overwritten by the next. */
export interface EpisodeTexts {
  readonly bytes: Uint8Array
  readonly places: ReadonlyArray<EpisodePlace>
  readonly counts: ReadonlyArray<EpisodeCounts>
}

/**
 * Packs the episodes of a simulation, a few of one lifecycle at a time, and unpacks them. What either returns is
 * overwritten by the next call.
 *
 * @param style of the prompts. Episodes must be those of `runLifecycle`.
 * @param growing whether a later prompt of an episode is the one before with reply and observation behind it; false where
 *   something is compressed
 */
export const makeEpisodeText = (style: Style, growing = true) => {
  let buffer = Buffer.allocUnsafe(2 * base)
  let packed = Buffer.allocUnsafe(1 << 14)
  let length = base
  let size = 0
  const models: Partial<Record<EpisodeKind, Model>> = {}
  const standing = new Map<string, Piece>()
  const escaped = new Map<string, string>()
  /** Threes: where a copy stands, where its source stands, how many bytes. */
  const copies: Array<number> = []
  /** The fixed parts between the fields of a step, as written last. */
  const fixed: Array<Piece> = []
  /** Observations of the solve episode written last: an update looks back at them. */
  let observed: Array<Piece> = []
  /** Contexts written since the beginning of what is packed: prompts and replies repeat them. */
  const contexts: Array<Piece> = []

  const reserve = (bytes: number): void => {
    if (length + bytes <= buffer.length) return
    const larger = Buffer.allocUnsafe(2 * (length + bytes))
    buffer.copy(larger, 0, 0, length)
    buffer = larger
  }
  const put = (text: string): Piece => {
    reserve(3 * text.length)
    const at = length
    const bytes = buffer.write(text, at)
    length += bytes
    return { text, at, bytes }
  }
  const copy = ({ at, bytes }: Pick<Piece, "at" | "bytes">): void => {
    reserve(bytes)
    buffer.copyWithin(length, at, at + bytes)
    if (bytes >= leastCopy) copies.push(length, at, bytes)
    length += bytes
  }
  const putFixed = (slot: number, text: string): void => {
    const before = fixed[slot]
    if (before?.text === text) copy(before)
    else fixed[slot] = put(text)
  }
  /** Writes a text, copying the pieces that it holds in that order. What stands between them may resemble a model. */
  const putHolding = (text: string, pieces: ReadonlyArray<Piece>, model?: Model): Piece => {
    const at = length
    let from = 0
    const putUntil = (end: number): void => {
      if (model !== undefined && end - from >= leastLike) putLike(text.slice(from, end), model)
      else if (from < end) put(text.slice(from, end))
    }
    for (const piece of pieces) {
      const found = piece.bytes < leastCopy ? -1 : text.indexOf(piece.text, from)
      if (found < 0) continue
      putUntil(found)
      copy(piece)
      from = found + piece.text.length
    }
    putUntil(text.length)
    return { text, at, bytes: length - at }
  }
  /** The same for a text that may end as another does. */
  const putEnding = (
    text: string,
    pieces: ReadonlyArray<Piece>,
    other: Piece | undefined,
    model: Model | undefined
  ): Piece => {
    const same = other === undefined ? 0 : alikeAtEnd(text, other.text)
    if (same < leastCopy) return putHolding(text, pieces, model)
    const at = length
    const rest = text.length - same
    putHolding(text.slice(0, rest), pieces, model)
    // Mostly all characters are one byte each.
    const bytes = other!.bytes === other!.text.length ? same : Buffer.byteLength(text.slice(rest))
    copy({ at: other!.at + other!.bytes - bytes, bytes })
    return { text, at, bytes: length - at }
  }
  const putContext = (text: string): Piece => {
    const known = contexts.find((context) => context.text === text)
    if (known === undefined) {
      const context = put(text)
      contexts.push(context)
      return context
    }
    copy(known)
    return known
  }
  /** A text of which there are few, as it stands between quotes. */
  const insideOnce = (text: string): string => {
    let found = escaped.get(text)
    if (found === undefined) {
      found = inside(text)
      if (escaped.size < mostStanding) escaped.set(text, found)
    }
    return found
  }
  /** Writes a text that was seen before, or else copies the lines that it shares with a model. */
  const putLike = (text: string, { offsets, text: model }: Model): void => {
    const known = standing.get(text)
    if (known !== undefined) return copy(known)
    if (standing.size < mostStanding && text.length <= modelCharacters) {
      const at = (2 + standing.size) * modelBytes
      standing.set(text, { text, at, bytes: buffer.write(text, at) })
    }
    let from = 0
    let at = 0
    let there = 0
    let line = -1
    while (at < text.length) {
      const same = alike(text, at, model, there)
      if (same >= leastCopy) {
        if (from < at) put(text.slice(from, at))
        copy({ at: offsets[there]!, bytes: offsets[there + same]! - offsets[there]! })
        from = at += same
        there += same
      }
      line = text.indexOf("\\n", Math.max(at, line + 1))
      if (line < 0) break
      const again = model.indexOf(text.slice(line, line + leastCopy), there)
      at = again < 0 ? line + 2 : line
      if (again >= 0) there = again
    }
    if (from < text.length) put(text.slice(from))
  }
  /** The first prompt of a kind, without its observation. */
  const modelOf = (kind: EpisodeKind, beginning: string): Model => {
    const known = models[kind]
    if (known !== undefined) return known
    const text = beginning.slice(0, modelCharacters).toWellFormed()
    const offsets = new Int32Array(text.length + 1)
    let at = (offsets[0] = places[kind])
    buffer.write(text, at)
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      // The two halves of a pair are four bytes, all of them counted with the second.
      at += code < 0x80 ? 1 : code < 0x800 ? 2 : isHigh(code) ? 0 : isLow(code) ? 4 : 3
      offsets[i + 1] = at
    }
    return (models[kind] = { text, offsets })
  }

  const putSteps = ({ kind, steps }: Episode, before: Piece, after: Piece): void => {
    const seen: Array<Piece> = []
    const written = withoutHeading(after)
    let last: Step | undefined
    let feedback: Piece | undefined
    let prompt: Piece | undefined
    let reply: Piece | undefined
    for (const step of steps) {
      put(last === undefined ? `{"feedback":"` : `,{"feedback":"`)
      const shown = inside(step.observation)
      const earlier = last === undefined ? undefined : seen[seen.length - 1]
      const known = last !== undefined ? [feedback!] : kind === "update" ? [before, ...observed] : []
      feedback = put(inside(step.feedback))
      const judgement = step.judgement === undefined ? "" : `,"judgement":${JSON.stringify(step.judgement)}`
      putFixed(0, `"${judgement},"logprobs":${list(step.logprobs)},"observation":"`)
      const observation = putEnding(shown, known, earlier, kind === "update" ? models.solve : undefined)
      seen.push(observation)
      putFixed(1, `","policyVersion":${step.policyVersion},"prompt":"`)
      const at = length
      if (last === undefined) {
        // No pair is split here: an observation never follows half a character.
        const beginning = insideOnce(step.prompt.slice(0, step.prompt.length - step.observation.length))
        if (step.prompt.endsWith(step.observation)) {
          putHolding(beginning, [before], modelOf(kind, beginning))
          copy(observation)
        } else put(inside(step.prompt))
      } else {
        const added = continuation(style, last.reply, step.observation)
        if (growing && step.prompt.length === last.prompt.length + added.length) {
          copy(prompt!)
          putHolding(inside(added), [reply!, observation])
        } else put(inside(step.prompt))
      }
      prompt = { text: "", at, bytes: length - at }
      putFixed(2, `","promptTokens":${list(step.promptTokens)},"reply":"`)
      reply = kind === "update" ? putHolding(inside(step.reply), [written]) : put(inside(step.reply))
      putFixed(3, `","tokens":${list(step.tokens)},"truncated":${step.truncated}}`)
      last = step
    }
    if (kind === "solve") observed = seen
  }
  const putEpisode = (episode: Episode): void => {
    const { contextAfter, contextBefore, environment, index, kind, lifecycle, outcome, pack, reward, run, seed } =
      episode
    const task = canonicalJson(episode.task)
    put(`{"contextAfter":"`)
    const after = putContext(inside(contextAfter))
    put(`","contextBefore":"`)
    const before = putContext(inside(contextBefore))
    putFixed(4, `","environment":${JSON.stringify(environment)},"index":${index},"kind":"`)
    put(kind)
    const lost = episode.lostBy === undefined ? "" : `,"lostBy":"${episode.lostBy}"`
    putFixed(5, `","lifecycle":${JSON.stringify(lifecycle)}${lost},"outcome":"`)
    put(outcome)
    putFixed(6, `","pack":${JSON.stringify(pack)},"reward":`)
    put(JSON.stringify(reward))
    putFixed(7, `,"run":${run},"seed":"${seed}","steps":[`)
    putSteps(episode, before, after)
    const why = episode.why === undefined ? "" : `,"why":${JSON.stringify(episode.why)}`
    put(`],"success":${episode.success}`)
    if (task !== undefined) putFixed(8, `,"task":${task}`)
    put(`${why}}`)
  }

  const packNumber = (value: number): void => {
    while (value > 127) {
      packed[size++] = (value % 128) | 128
      value = Math.floor(value / 128)
    }
    packed[size++] = value
  }
  const unpackNumber = (from: Uint8Array): number => {
    for (let value = 0, weight = 1; ; weight *= 128) {
      const byte = from[size++]!
      value += (byte & 127) * weight
      if (byte < 128) return value
    }
  }

  /** Packed: how many episodes, the end, times and counts of each, then new bytes and copies in turn. */
  const pack = (episodes: ReadonlyArray<Episode>): Uint8Array => {
    length = base
    copies.length = fixed.length = observed.length = contexts.length = 0
    const ends = episodes.map((episode) => {
      putEpisode(episode)
      return length - base
    })
    const most = length - base + 20 * copies.length + 60 * (episodes.length + 1)
    if (packed.length < most) packed = Buffer.allocUnsafe(2 * most)
    size = 0
    packNumber(episodes.length)
    for (const [i, episode] of episodes.entries()) {
      packNumber(ends[i]!)
      size = packed.writeDoubleLE(episode.timing.startedMillis, size)
      size = packed.writeDoubleLE(episode.timing.endedMillis, size)
      for (const number of countsToNumbers(countsOf(episode))) packNumber(number)
    }
    let done = base
    for (let i = 0; i <= copies.length; i += 3) {
      const to = copies[i] ?? length
      packNumber(to - done)
      size += buffer.copy(packed, size, done, to)
      if (i === copies.length) break
      packNumber(copies[i + 1]!)
      packNumber(copies[i + 2]!)
      done = to + copies[i + 2]!
    }
    return packed.subarray(0, size)
  }

  const unpack = (given: Uint8Array) => {
    const from = Buffer.from(given.buffer, given.byteOffset, given.byteLength)
    size = 0
    const places: Array<EpisodePlace> = []
    const counts: Array<EpisodeCounts> = []
    const count = unpackNumber(from)
    for (let i = 0, start = 0; i < count; i++) {
      const end = unpackNumber(from)
      const timing = { startedMillis: from.readDoubleLE(size), endedMillis: from.readDoubleLE(size + 8) }
      size += 16
      places.push({ start, end, timing })
      counts.push(countsFromNumbers(() => unpackNumber(from)))
      start = end
    }
    length = base
    for (;;) {
      const fresh = unpackNumber(from)
      reserve(fresh)
      length += from.copy(buffer, length, size, size + fresh)
      size += fresh
      if (size >= from.length) break
      const at = unpackNumber(from)
      const bytes = unpackNumber(from)
      reserve(bytes)
      buffer.copyWithin(length, at, at + bytes)
      length += bytes
    }
    const unpacked: EpisodeTexts = { bytes: buffer.subarray(base, length), places, counts }
    return unpacked
  }
  return { pack, unpack }
}

export type EpisodeText = ReturnType<typeof makeEpisodeText>

/** A context as a reply of the `chat` style holds it. */
const withoutHeading = (context: Piece): Piece => {
  const heading = chatContext("")
  if (!context.text.startsWith(heading)) return context
  const { length } = heading
  return { text: context.text.slice(length), at: context.at + length, bytes: context.bytes - length }
}

/** A text as it stands between the quotes of JSON. */
const inside = (text: string): string => JSON.stringify(text).slice(1, -1)

const list = (numbers: ReadonlyArray<number>): string => (numbers.length === 0 ? "[]" : JSON.stringify(numbers))

/** How many characters two texts share from two places on; never half a pair. */
const alike = (a: string, i: number, b: string, j: number): number => {
  const most = Math.min(a.length - i, b.length - j)
  let same = 0
  while (same < most && a.charCodeAt(i + same) === b.charCodeAt(j + same)) same++
  return isHigh(a.charCodeAt(i + same - 1)) ? same - 1 : same
}

/** How many characters two texts share at their ends; never half a pair. */
const alikeAtEnd = (a: string, b: string): number => {
  const most = Math.min(a.length, b.length)
  let same = 0
  while (same < most && a.charCodeAt(a.length - 1 - same) === b.charCodeAt(b.length - 1 - same)) same++
  return isLow(a.charCodeAt(a.length - same)) ? same - 1 : same
}

const isHigh = (code: number): boolean => code >= 0xd800 && code < 0xdc00
const isLow = (code: number): boolean => code >= 0xdc00 && code < 0xe000
