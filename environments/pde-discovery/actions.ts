/** The four actions as XML: what an answer must look like to be one. Whether its arguments make sense is seen later. */
import { answerBlock, type Parsed } from "../../src/environment.ts"
import { type Element, readAnswer } from "../xml.ts"

/** Arguments as they were written; those not given are absent. */
export type Action =
  | { readonly name: "sample_pde_data"; readonly point_grid: string }
  | {
      readonly name: "run_sparse_regression"
      readonly dataset_id?: string
      readonly dictionary?: string
      readonly candidate_equations?: string
      readonly alpha?: string
      readonly threshold?: string
    }
  | { readonly name: "summarize_pack_evidence"; readonly reveal_equations?: string }
  | {
      readonly name: "update_scientific_context"
      readonly preferred_equation: string
      readonly note?: string
      readonly uncertain_terms?: string
    }

const known: Record<
  Action["name"],
  { readonly required: ReadonlyArray<string>; readonly optional: ReadonlyArray<string> }
> = {
  sample_pde_data: { required: ["point_grid"], optional: [] },
  run_sparse_regression: {
    required: [],
    optional: ["dataset_id", "dictionary", "candidate_equations", "alpha", "threshold"]
  },
  summarize_pack_evidence: { required: [], optional: ["reveal_equations"] },
  update_scientific_context: { required: ["preferred_equation"], optional: ["note", "uncertain_terms"] }
}

const names = Object.keys(known).join(", ")

export const parse = (reply: string): Parsed<Action> => {
  const answer = readAnswer(reply)
  if ("why" in answer) return answer
  const [element, ...others] = answer.elements
  if (element === undefined || others.length > 0) return { why: `the answer must hold exactly one action of ${names}` }
  if (!Object.hasOwn(known, element.name)) {
    return { why: `there is no action ${element.name.slice(0, 40)}, expected one of ${names}` }
  }
  const { optional, required } = known[element.name as Action["name"]]
  if (element.text !== "") return { why: `<${element.name}> must hold its arguments as elements` }
  const given = new Map<string, string>()
  for (const argument of element.elements) {
    const { name, text } = argument
    if (!required.includes(name) && !optional.includes(name)) {
      return {
        why: `${element.name} has no argument ${name.slice(0, 40)}, only ${[...required, ...optional].join(", ")}`
      }
    }
    if (given.has(name)) return { why: `${element.name} has the argument ${name} twice` }
    if (name !== "candidate_equations" && argument.elements.length > 0) {
      return { why: `<${name}> must hold plain text` }
    }
    given.set(name, name === "candidate_equations" ? listed(argument) : text)
  }
  const missing = required.find((name) => (given.get(name) ?? "") === "")
  if (missing !== undefined) return { why: `${element.name} needs the argument ${missing}` }
  return { action: { name: element.name, ...Object.fromEntries(given) } as Action }
}

/** Equations one a line, also when each has an element of its own. */
const listed = ({ elements, text }: Element): string =>
  elements.length === 0 ? text : elements.map((element) => element.text).join("\n")

/** An action as an answer. Values must be free of XML. */
export const written = ({ name, ...given }: Action): string =>
  answerBlock.write(
    `<${name}>${Object.entries(given)
      .map(([argument, value]) => `<${argument}>${value}</${argument}>`)
      .join("")}</${name}>`
  )
