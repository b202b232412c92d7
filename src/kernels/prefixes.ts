/**
 * Keys and values of prompts that were read, for prompts that go on from them.
 *
 * A prompt is cut into blocks of some tokens, and a block is known by all tokens up to its end: nobody has to say which
 * prompt goes on from which, and prompts that begin alike share what they share. A block's data depends on these tokens
 * and on the weights only, so what is found here are the numbers that reading would make again; with other weights
 * everything is forgotten. Beyond the given bytes the blocks that were not used for the longest time go.
 */
interface Block {
  readonly id: number
  /** Keys and values of its positions. */
  readonly data: Float32Array
}

/** Keys and values of one prompt are `[height, positions, headSize]`; those of a block are `[height, tokens, headSize]`. */
export interface BlockShape {
  readonly height: number
  readonly headSize: number
  readonly tokens: number
}

/** Lays blocks one behind the other: `into [height, past, headSize]`, where past is at most what they hold. */
export const layBlocks = (
  { headSize, height, tokens }: BlockShape,
  blocks: ReadonlyArray<Float32Array>,
  past: number,
  into: Float32Array
): void => {
  const size = tokens * headSize
  for (let i = 0; i < past / tokens; i++)
    for (let h = 0; h < height; h++)
      into.set(blocks[i]!.subarray(h * size, (h + 1) * size), (h * past + i * tokens) * headSize)
}

/** The block that begins at a position: of `read [height, length, headSize]`. */
export const takeBlock = (
  { headSize, height, tokens }: BlockShape,
  read: Float32Array,
  length: number,
  at: number
): Float32Array => {
  const size = tokens * headSize
  const block = new Float32Array(height * size)
  for (let h = 0; h < height; h++) {
    const from = (h * length + at) * headSize
    block.set(read.subarray(from, from + size), h * size)
  }
  return block
}

export class Prefixes {
  /** By the block before and the own tokens, the least recently used first. */
  readonly #blocks = new Map<string, Block>()
  readonly #tokens: number
  readonly #most: number
  #weights: Float32Array | undefined
  #made = 0

  constructor({ headSize, height, tokens }: BlockShape, bytes: number) {
    this.#tokens = tokens
    this.#most = Math.floor(bytes / (4 * height * tokens * headSize))
  }

  /** The known blocks at the beginning of a prompt, fewer than would leave none of its tokens to read. */
  find(weights: Float32Array, prompt: ReadonlyArray<number>): ReadonlyArray<Float32Array> {
    if (weights !== this.#weights) return []
    const found: Array<readonly [string, Block]> = []
    for (let end = this.#tokens; end < prompt.length; end += this.#tokens) {
      const key = this.#key(found.at(-1)?.[1], prompt, end)
      const block = this.#blocks.get(key)
      if (block === undefined) break
      found.push([key, block])
    }
    this.#use(found)
    return found.map(([, { data }]) => data)
  }

  /**
   * Remembers the whole blocks of a prompt whose positions from `from` on were read; `take` gives the block that begins so
   * many positions behind that.
   */
  keep(weights: Float32Array, prompt: ReadonlyArray<number>, from: number, take: (at: number) => Float32Array): void {
    if (weights !== this.#weights) {
      this.#weights = weights
      this.#blocks.clear()
    }
    const all: Array<readonly [string, Block]> = []
    for (let end = this.#tokens; end <= prompt.length; end += this.#tokens) {
      const key = this.#key(all.at(-1)?.[1], prompt, end)
      const begin = end - this.#tokens - from
      const known = this.#blocks.get(key)
      // Room was made for other prompts in the meantime.
      if (known === undefined && begin < 0) return
      all.push([key, known ?? { id: ++this.#made, data: take(begin) }])
    }
    this.#use(all)
  }

  #key(before: Block | undefined, prompt: ReadonlyArray<number>, end: number): string {
    return `${before?.id ?? 0}:${prompt.slice(end - this.#tokens, end).join()}`
  }

  /** The first block last: without it those behind it are never found, so it must go after them. */
  #use(blocks: ReadonlyArray<readonly [string, Block]>): void {
    for (const [key, block] of blocks.toReversed()) {
      this.#blocks.delete(key)
      this.#blocks.set(key, block)
    }
    for (const key of this.#blocks.keys()) {
      if (this.#blocks.size <= this.#most) return
      this.#blocks.delete(key)
    }
  }
}
