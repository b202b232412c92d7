/**
 * What was recorded, read again: a run's journals and traces of its policy, replayed and exported. One small training run
 * serves all of it.
 */
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { parquetReadObjects } from "hyparquet"
import { asyncBufferFromFile } from "hyparquet/src/node.js"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { Schema } from "effect"
import { checkedLine, readCheckedLine } from "../../src/actors/checked-lines.ts"
import { runCommandLine } from "../fixtures/command-line.ts"
import { args, root, run, small } from "./small-training.ts"

const folder = join(root, "recorded")
const trace = join(root, "trace.jsonl")
const simulation = ["--env", "frozen-lake-obscure", "--pack-size", "2", "--seed", "4"]

beforeAll(async () => {
  const short = { "warmStart.minimum": 40, "warmStart.maximum": 40, "warmStart.settle": 5, "evaluation.packs": 2 }
  const trained = await run(args(folder, { ...short, checkpointEvery: 1, updates: 2 }))
  expect(trained.code, trained.stderr).toBe(0)
  const options = ["--policy", folder, "--lifecycles", "24", "--out", trace]
  const simulated = await runCommandLine("simulate", ...simulation, ...options)
  expect(simulated.code, simulated.stderr).toBe(0)
}, 120_000)

const replay = async (...words: ReadonlyArray<string>) => {
  const { code, stderr, stdout } = await runCommandLine("replay", ...words, "--json")
  return { code, stderr, ...(stdout === "" ? {} : JSON.parse(stdout)) }
}

/** A file with one line changed, its checksum made to fit: only living it again can tell. */
const forge = (file: string, line: number, change: (value: any) => void): void => {
  const lines = readFileSync(file, "utf8").split("\n")
  const value = readCheckedLine(lines[line]!)!.value
  change(value)
  lines[line] = checkedLine(JSON.stringify(value)).trimEnd()
  writeFileSync(file, lines.join("\n"))
}

describe("a trace of a policy with tokens", () => {
  it("replays from its tokens, and asked of the policy again it says the same to the bit", async () => {
    expect(await replay(trace)).toMatchObject({
      code: 0,
      lifecycles: 24,
      compared: { replies: 0, tokens: 24, samples: 0 },
      altered: [],
      differences: []
    })
    expect(await replay(trace, "--resample")).toMatchObject({
      code: 0,
      compared: { samples: 24 },
      differences: []
    })
    expect(await replay(trace, "--policy", join(root, "nowhere"))).toMatchObject({ code: 2 })
  })

  it("is found to be altered, with lifecycle, episode, step, field and both values", async () => {
    const forged = join(root, "forged.jsonl")
    const differences = async (change: (line: any) => void, ...words: ReadonlyArray<string>) => {
      cpSync(trace, forged)
      forge(forged, 4, change)
      const { altered, code, differences } = await replay(forged, ...words)
      expect([code, altered]).toEqual([1, []])
      expect(differences).toHaveLength(1)
      return differences[0]
    }
    const line: any = readCheckedLine(readFileSync(trace, "utf8").split("\n")[4]!)!.value
    const here = { lifecycle: "eval-0000-0000001/0", kind: line.kind, index: line.index }
    const [step] = line.steps
    expect(await differences((line) => (line.steps[0].reply += "!"))).toEqual({
      ...here,
      step: 0,
      field: "reply",
      recorded: `${step.reply}!`,
      replayed: step.reply
    })
    expect(await differences((line) => (line.reward += 1))).toMatchObject({ ...here, field: "reward" })
    expect(await differences((line) => (line.steps[0].feedback += "."))).toMatchObject({ step: 0, field: "feedback" })
    expect(await differences((line) => (line.steps[0].promptTokens[1] = 9))).toMatchObject({
      ...here,
      step: 0,
      field: "promptTokens.1",
      recorded: 9,
      replayed: step.promptTokens[1]
    })
    // What a token decides is told by the policy alone.
    expect(await differences((line) => (line.steps[0].tokens[0] ^= 1), "--resample")).toMatchObject({
      ...here,
      step: 0,
      field: "tokens.0",
      recorded: step.tokens[0] ^ 1,
      replayed: step.tokens[0]
    })
    expect(await differences((line) => (line.steps[0].logprobs[0] -= 1e-9), "--resample")).toMatchObject({
      step: 0,
      field: "logprobs.0"
    })
  })
})

describe("the journals of a run", () => {
  const altered = join(root, "altered")
  const journal = join(altered, "journal", "1.jsonl")

  it("replay from their tokens, and asked of the policy that sampled them", async () => {
    expect(await replay(folder)).toMatchObject({ code: 0, lifecycles: 24, compared: { tokens: 24 }, differences: [] })
    const one = await replay(join(folder, "journal", "1.jsonl"), "--resample")
    expect(one).toMatchObject({ code: 0, lifecycles: 12, compared: { samples: 12 }, differences: [] })
    const last = await replay(
      join(folder, "journal", "0.jsonl"),
      "--resample",
      "--policy",
      join(folder, "checkpoints/1")
    )
    expect(last.differences[0]).toMatchObject({ step: 0, field: "policyVersion" })
  })

  it("name what was altered in them", async () => {
    const differences = async (change: (entry: any) => void) => {
      cpSync(folder, altered, { recursive: true })
      forge(journal, 3, change)
      const { code, differences } = await replay(journal)
      expect(code).toBe(1)
      return differences
    }
    const entry: any = readCheckedLine(readFileSync(join(folder, "journal", "1.jsonl"), "utf8").split("\n")[3]!)!.value
    expect(await differences((entry) => (entry.calls[0].text = "N"))).toEqual([
      {
        lifecycle: entry.lifecycle,
        kind: "solve",
        index: 0,
        step: 0,
        field: "reply",
        recorded: "N",
        replayed: entry.calls[0].text
      }
    ])
    expect(await differences((entry) => entry.calls.pop())).toMatchObject([{ field: "replies" }])
    const lines = readFileSync(join(folder, "journal", "1.jsonl"), "utf8").split("\n")
    writeFileSync(journal, lines.with(2, lines[2]!.replace('"truncated":false', '"truncated":true')).join("\n"))
    expect(await replay(journal)).toMatchObject({ code: 1, altered: [{ file: journal, line: 3 }] })
    const verified = await runCommandLine("runs", "verify", altered)
    expect(verified).toMatchObject({ code: 1, stdout: expect.stringContaining(`${journal}:3: was altered`) })
  })
})

const Id = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Ids = Schema.Array(Id)
const Bits = Schema.Array(Schema.Literals([0, 1]))
const Numbers = Schema.Array(Schema.Finite)
const Messages = Schema.Array(Schema.Record(Schema.String, Schema.String))
const Any = Schema.Record(Schema.String, Schema.Unknown)

/** As the trainers publish them; see `test/vectors/trainers/check.py`, which reads rows with their own classes. */
const published = {
  /** `RolloutSample`, TRL 1.16.0. */
  trl: Schema.Struct({
    prompt: Messages,
    completion: Messages,
    input_ids: Ids,
    completion_mask: Bits,
    old_log_probs: Numbers,
    advantage: Schema.Finite,
    model_version: Id,
    group_id: Id,
    metrics: Schema.Record(Schema.String, Schema.Finite)
  }),
  /** `AgentLoopOutput`, verl 0.9.1. */
  verl: Schema.Struct({
    prompt_ids: Ids,
    response_ids: Ids,
    response_mask: Bits,
    response_logprobs: Numbers,
    reward_score: Schema.Finite,
    num_turns: Schema.Int,
    metrics: Schema.Struct({
      generate_sequences: Schema.Finite,
      tool_calls: Schema.Finite,
      compute_score: Schema.Finite,
      num_preempted: Schema.Int
    }),
    extra_fields: Any
  }),
  /** `Experience`, Trinity-RFT 0.6.0: what its constructor takes, and `EID`. */
  trinity: Schema.Struct({
    eid: Schema.Struct({
      batch: Schema.Union([Schema.Int, Schema.String]),
      task: Schema.Union([Schema.Int, Schema.String]),
      run: Schema.Int,
      step: Schema.Int,
      suffix: Schema.String.check(Schema.isMaxLength(64))
    }),
    tokens: Ids,
    prompt_length: Schema.Int.check(Schema.isGreaterThan(0)),
    logprobs: Numbers,
    reward: Schema.Finite,
    advantages: Numbers,
    returns: Numbers,
    action_mask: Schema.Array(Schema.Boolean),
    truncate_status: Schema.NullOr(Schema.Literals(["prompt_truncated", "response_truncated"])),
    prompt_text: Schema.String,
    response_text: Schema.String,
    info: Any,
    metrics: Schema.Record(Schema.String, Schema.Finite)
  })
}

const exported = async (format: string, from = folder) => {
  const out = join(root, `export.${format}`)
  rmSync(out, { force: true })
  const { code, stderr, stdout } = await runCommandLine(
    "runs",
    "export",
    from,
    "--format",
    format,
    "--out",
    out,
    "--json"
  )
  expect(code, stderr).toBe(0)
  return { out, document: JSON.parse(stdout) }
}
const rowsOf = async <F extends keyof typeof published>(format: F) => {
  const { document, out } = await exported(format)
  const lines = readFileSync(out, "utf8").trimEnd().split("\n")
  expect(document).toMatchObject({ rows: lines.length, batches: [0, 1], without: [] })
  const decode = Schema.decodeUnknownSync(published[format] as unknown as Schema.Codec<(typeof published)[F]["Type"]>)
  return lines.map((line) => decode(JSON.parse(line), { onExcessProperty: "error" }))
}

describe("runs export", () => {
  it("gives each trainer the same experiences in its own published shape", async () => {
    const [trl, verl, trinity] = await Promise.all([rowsOf("trl"), rowsOf("verl"), rowsOf("trinity")])
    const metrics = readFileSync(join(folder, "metrics.jsonl"), "utf8").trimEnd().split("\n")
    const sampled = metrics.reduce((sum, line) => sum + JSON.parse(line).sampledTokens, 0)
    expect(verl.reduce((sum, { response_ids }) => sum + response_ids.length, 0)).toBe(sampled)
    expect(trl.some(({ advantage }) => advantage !== 0)).toBe(true)
    verl.forEach((row, i) => {
      const [t, e] = [trl[i]!, trinity[i]!]
      const { length } = row.response_ids
      expect(t.input_ids).toEqual([...row.prompt_ids, ...row.response_ids])
      expect(e.tokens).toEqual(t.input_ids)
      expect(e.prompt_length).toBe(row.prompt_ids.length)
      for (const list of [t.completion_mask, t.old_log_probs]) expect(list).toHaveLength(t.input_ids.length)
      expect(t.completion_mask.lastIndexOf(0)).toBe(row.prompt_ids.length - 1)
      expect(t.old_log_probs.slice(-length)).toEqual(row.response_logprobs)
      for (const list of [row.response_mask, e.logprobs, e.advantages, e.returns, e.action_mask]) {
        expect(list).toHaveLength(length)
      }
      expect(new Set([...e.advantages, ...(row.extra_fields["advantages"] as Array<number>), t.advantage]).size).toBe(1)
      expect(row.extra_fields["uid"]).toBe(e.eid.task)
      expect(e.eid.suffix).toBe(e.info["id"])
    })
    // Groups: every run of a pack, and no other.
    const groups = Map.groupBy(trinity, ({ eid }) => eid.task)
    expect(groups.size).toBe(2 * small["rollout.packs"])
    expect(new Set(trl.map(({ group_id }) => group_id)).size).toBe(groups.size)
    for (const rows of groups.values()) {
      expect(new Set(rows.map(({ eid }) => eid.run)).size).toBe(small["rollout.groupSize"])
      expect(new Set(rows.map(({ eid }) => `${eid.run}/${eid.step}`)).size).toBe(rows.length)
    }
  })

  it("gives the episodes of a run and of a trace as Parquet, with the credit of each step where there is one", async () => {
    const trinity = await rowsOf("trinity")
    const ofRun: ReadonlyArray<any> = await parquetReadObjects({
      file: await asyncBufferFromFile((await exported("parquet")).out)
    })
    const advantages = ofRun.flatMap(({ steps }) => steps.map(({ advantage }: any) => advantage))
    expect(advantages).toEqual(trinity.map((row) => row.advantages[0]))
    const { document, out } = await exported("parquet", trace)
    const ofTrace: ReadonlyArray<any> = await parquetReadObjects({ file: await asyncBufferFromFile(out) })
    const lines = readFileSync(trace, "utf8").trimEnd().split("\n")
    expect(document).toMatchObject({ rows: lines.length })
    lines.forEach((line, i) => {
      const { checksum: _checksum, plan: _plan, ...episode } = JSON.parse(line)
      const { policy, why, ...row } = ofTrace[i]
      expect(policy).toBe(folder)
      expect(why).toBe(episode.why ?? null)
      const steps = row.steps.map(({ advantage, baseline: _b, return: _r, score: _s, ...step }: any) => {
        expect(advantage).toBeNull()
        return step
      })
      expect({ ...row, steps }).toEqual({ ...episode, why: undefined, steps })
      expect(steps).toEqual(episode.steps)
    })
  })

  it("refuses what it cannot do in one line, and leaves nothing behind", async () => {
    const refused = async (...words: ReadonlyArray<string>) => {
      const { code, stderr, stdout } = await runCommandLine("runs", "export", ...words)
      expect([code, stdout, stderr.trimEnd().split("\n").length]).toEqual([2, "", 1])
      return stderr
    }
    const out = join(root, "refused")
    const to = ["--out", out]
    expect(await refused(trace, "--format", "trl", ...to)).toContain("a trace has no groups to credit")
    expect(await refused(folder, "--format", "trl", "--out", trace)).toContain("a file that does not exist yet")
    expect(await refused(folder, "--format", "csv", ...to)).toContain("--format")
    const torn = join(root, "torn")
    cpSync(folder, torn, { recursive: true })
    const file = join(torn, "journal", "1.jsonl")
    const lines = readFileSync(file, "utf8").split("\n")
    writeFileSync(file, lines.slice(0, 5).join("\n") + "\n")
    expect(await refused(file, "--format", "verl", ...to)).toContain("is missing: the run was stopped in the middle")
    expect(existsSync(out) || existsSync(`${out}.partial`)).toBe(false)
    const whole = await runCommandLine("runs", "export", torn, "--format", "verl", ...to, "--json")
    expect(JSON.parse(whole.stdout)).toMatchObject({
      batches: [0],
      without: [expect.stringContaining("without batch 1")]
    })
    rmSync(join(torn, "journal"), { recursive: true })
    expect(await refused(torn, "--format", "verl", "--out", `${out}2`)).toContain("a run with journals")
  })
})
