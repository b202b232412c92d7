/** Answers written as XML: the only answer block of a reply, read as a small tree. */
import { Effect, Result, Stream } from "effect"
import { Xml } from "effect/encoding"

/** An element without attributes that holds either text or elements. */
export interface Element {
  readonly name: string
  /** References decoded; empty when there are elements. */
  readonly text: string
  readonly elements: ReadonlyArray<Element>
}

/** Longer answers are not looked at. */
const longest = 20_000

/** The elements inside the only `<answer>` block, or why there are none. */
export const readAnswer = (
  reply: string,
  { isLast = false } = {}
): { readonly elements: ReadonlyArray<Element> } | { readonly why: string } => {
  const from = reply.indexOf("<answer>")
  const to = reply.indexOf("</answer>")
  if (from < 0 || to < from || from !== reply.lastIndexOf("<answer>") || to !== reply.lastIndexOf("</answer>")) {
    return { why: "the reply must hold exactly one <answer>...</answer>" }
  }
  const end = to + "</answer>".length
  if (isLast && reply.slice(end).trim() !== "") return { why: "nothing may follow </answer>" }
  if (end - from > longest) return { why: `the answer is longer than ${longest} characters` }
  const read = Effect.runSync(Effect.result(parse(reply.slice(from, end))))
  if (Result.isFailure(read)) return { why: `the answer is no well-formed XML: ${read.failure.message}` }
  const tree = simple(read.success)
  if (typeof tree === "string") return { why: tree }
  return tree.text === "" ? { elements: tree.elements } : { why: "the answer must hold an XML element, not plain text" }
}

const parse = (text: string) =>
  Stream.make(text).pipe(
    Stream.pipeThroughChannel(Xml.decodeString({ maxDepth: 8 })),
    Stream.pipeThroughChannel(Xml.elements(["answer"])),
    Stream.runCollect,
    Effect.map(([root]) => root!)
  )

/** Refuses attributes and text between elements; says why. */
const simple = ({ attributes, children, name }: Xml.Element): Element | string => {
  if (Object.keys(attributes).length > 0) return `<${name}> must have no attributes`
  const elements: Array<Element> = []
  for (const child of children) {
    if (typeof child === "string") continue
    const element = simple(child)
    if (typeof element === "string") return element
    elements.push(element)
  }
  const text = children
    .filter((child) => typeof child === "string")
    .join("")
    .trim()
  return elements.length > 0 && text !== "" ? `<${name}> mixes text and elements` : { name, text, elements }
}

/** Text as the content of an element. */
export const escape = (text: string): string => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;")
