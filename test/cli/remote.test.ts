/**
 * Policies on a server: our own endpoint, behind a proxy that does what networks and servers do on bad days.
 *
 * A request carries its seed, so a lifecycle gets the same replies however often it had to ask: trouble that passes must
 * leave no trace at all in the digest.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { runCommandLine } from "../fixtures/command-line.ts"
import { type Fault, faultyProxy } from "../fixtures/faulty-proxy.ts"
import { longer } from "../fixtures/language-model.ts"
import { serving } from "../fixtures/served.ts"

const root = mkdtempSync(join(tmpdir(), "constellate-remote-"))
const served = serving(longer(root, "qwen3-tied"), "--name", "org/tiny")
afterAll(async () => {
  await (await served).stop()
  rmSync(root, { recursive: true, force: true })
})
// The environment is read when the first policy is opened.
const key = (process.env["OPENAI_API_KEY"] = "sk-very-secret")

const parrot = ["--env", "./test/fixtures/parrot.ts", "--pack-size", "1", "--lifecycle.maxTokens", "4"]
const simulate = async (url: string, lifecycles: number, ...more: ReadonlyArray<string>) => {
  const policy = ["--policy", `openai:org/tiny@${url}`, "--remote.backoffSeconds", "0.01"]
  const args = [...policy, ...parrot, "--lifecycles", String(lifecycles), "--json", ...more]
  const { code, stderr, stdout } = await runCommandLine("simulate", ...args)
  expect({ code, stderr }).toMatchObject({ code: 0 })
  return { ...JSON.parse(stdout), stderr }
}
const linesOf = (file: string) =>
  readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))

describe("a policy on a server", () => {
  it("loses nothing of 200 lifecycles to trouble that passes, and counts add up", async () => {
    const passing: ReadonlyArray<Fault> = ["429", "500", "dropped", "half", "slow"]
    const faulty = await faultyProxy((await served).url, ({ attempt, number }) =>
      attempt < 2 && number % 4 === 0 ? passing[(number / 4) % passing.length]! : "none"
    )
    const out = join(root, "faulty.jsonl")
    const troubled = await simulate(faulty.url, 200, "--out", out)
    faulty.close()
    const calm = await simulate((await served).url, 200, "--concurrency", "7")

    expect(troubled).toMatchObject({ lifecycles: 200, lost: 0, steps: 400, deterministic: true })
    expect(troubled.digest).toBe(calm.digest)
    expect(troubled.tokens).toBe(calm.tokens)
    const counts = Map.groupBy(faulty.seen, ({ fault }) => fault)
    for (const fault of passing) expect(counts.get(fault)?.length, fault).toBeGreaterThan(5)
    const answered = (counts.get("none")?.length ?? 0) + (counts.get("slow")?.length ?? 0)
    expect(answered).toBe(400)
    expect(new Set(linesOf(out).map(({ lifecycle }) => lifecycle)).size).toBe(200)
    expect(linesOf(out)[0].steps[0].tokens.length).toBe(linesOf(out)[0].steps[0].logprobs.length)
  })

  it("ends a lifecycle as an error or a timeout where trouble stays, and the others go on", async () => {
    const lasting: ReadonlyArray<Fault> = ["html", "shape", "500", "half", "slow"]
    const fates = new Map<string, Fault>()
    const faulty = await faultyProxy((await served).url, ({ body }) => {
      if (!fates.has(body)) fates.set(body, fates.size < 10 ? lasting[fates.size % 5]! : "none")
      return fates.get(body)!
    })
    const out = join(root, "lasting.jsonl")
    const patience = ["--remote.retries", "1", "--remote.timeoutSeconds", "0.3", "--concurrency", "12"]
    const result = await simulate(faulty.url, 20, "--out", out, ...patience)
    faulty.close()
    expect(result.lost).toBe(10)
    expect(result.outcomes).toMatchObject({ error: 8, timeout: 2 })
    expect(result.outcomes.success + result.outcomes.failure).toBe(10)
    expect(result.deterministic).toBe(false)
    const reasons = linesOf(out).flatMap(({ why }) => (why === undefined ? [] : [why]))
    for (const expected of [
      "the server answered with HTML, expected JSON (is the base address right, such as .../v1?)",
      "the server's answer is no chat completion: choices",
      'the server answered 500: "<html>Internal Server Error</html>", after 2 attempts',
      "the connection failed: ",
      "the server did not answer in 0.3 s, after 2 attempts"
    ]) {
      expect(
        reasons.filter((why) => why.includes(expected)),
        expected
      ).toHaveLength(2)
    }
  })

  it("keeps the key to itself, whatever the server says of it: no output and no file has it", async () => {
    const folder = mkdtempSync(join(root, "key-"))
    const said: Array<string> = []
    for (const fault of ["dropped", "401", "none"] as const) {
      const faulty = await faultyProxy((await served).url, () => fault)
      const files = ["--out", join(folder, `${fault}.jsonl`), "--rotate-mb", "0.001"]
      const result = await simulate(faulty.url, 3, ...files, "--remote.retries", "1", "--log-level", "all")
      const policy = `openai:org/tiny@${faulty.url}`
      const more = ["--packs", "2", "--json", "--remote.retries", "0", ...parrot]
      const evaluated = await runCommandLine("eval", policy, ...more)
      faulty.close()
      expect(faulty.seen.every(({ authorization }) => authorization === `Bearer ${key}`)).toBe(true)
      said.push(JSON.stringify(result), result.stderr, evaluated.stdout, evaluated.stderr)
    }
    const parquet = ["--format", "parquet", "--out", join(folder, "none.parquet")]
    expect((await runCommandLine("runs", "export", join(folder, "none.jsonl"), ...parquet)).code).toBe(0)
    const files = readdirSync(folder)
    expect(files.length).toBeGreaterThan(4)
    for (const text of [...said, ...files.map((name) => readFileSync(join(folder, name), "latin1"))]) {
      expect(text).not.toContain(key)
    }
    expect(said.join()).toContain("trying again")
    expect(linesOf(join(folder, "401.jsonl"))[0].why).toContain("Incorrect API key provided: Bearer [key]")
  })

  it("says when a server gives no token ids, and is evaluated all the same", async () => {
    const mute = await faultyProxy((await served).url, () => "mute")
    const args = ["--packs", "4", "--json", ...parrot]
    const { code, stderr, stdout } = await runCommandLine("eval", `openai:org/tiny@${mute.url}`, ...args)
    mute.close()
    expect(code).toBe(0)
    expect(JSON.parse(stdout).positions[0]).toMatchObject({ episodes: 4, outcomes: { error: 0, timeout: 0 } })
    expect(stderr.match(/gives no token ids with log-probabilities: it can be simulated and evaluated/g)).toHaveLength(
      1
    )
  })

  it("is left alone for as long as it wants, by all that ask it", async () => {
    const begun: Array<number> = []
    const busy = await faultyProxy((await served).url, ({ number }) => {
      begun.push(performance.now())
      return number === 0 ? "busy" : "none"
    })
    const { lost } = await simulate(busy.url, 6, "--remote.concurrency", "1")
    busy.close()
    expect(lost).toBe(0)
    // Retry-After in seconds; the clocks of two processes are not asked for more than this.
    expect(begun[1]! - begun[0]!).toBeGreaterThanOrEqual(950)
  })

  it("is asked no more often than it may be", async () => {
    const { seconds } = await simulate((await served).url, 2, "--remote.requestsPerMinute", "300")
    expect(seconds).toBeGreaterThanOrEqual(0.6)
  })
})

describe("refused in one line:", () => {
  const parrotOnly = parrot.slice(0, 2)
  it.each([
    [["train", "--policy", "openai:m@http://127.0.0.1:1/v1", "--style", "chat"], "a server's weights are out of reach"],
    [["eval", "openai:m", ...parrotOnly], "expected openai:MODEL@URL with the base address of a server"],
    [["eval", "openai:m@https://me:pass@example.org/v1", ...parrotOnly], '"openai:m@https://...@example.org/v1"'],
    [
      ["eval", "openai:m@http://127.0.0.1:1/v1", ...parrotOnly, "--style", "terse"],
      '"style" is "terse", expected "chat"'
    ],
    [["eval", "scripted:random", ...parrotOnly, "--remote.retries", "3"], '"remote" is "given", expected nothing']
  ])("%s", async (args, message) => {
    const { code, stderr, stdout } = await runCommandLine(...args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    expect(stderr).toContain(message)
    expect(stderr).not.toContain("pass@")
    expect(stderr.trimEnd().split("\n")).toHaveLength(1)
  })
})
