/** The state chart of a machine as a picture, drawn from the machine itself. */
import { instance } from "@viz-js/viz"
import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from "xstate"

/** The chart as SVG; the same bytes for the same machine. */
export const drawChart = async (machine: AnyStateMachine): Promise<string> =>
  (await instance()).renderString(dotOf(machine), { format: "svg" })

/** The chart in Graphviz' language: states are boxes, final ones double, states within a state stand in its frame. */
export const dotOf = (machine: AnyStateMachine): string => {
  const { root } = machine
  return [
    "digraph {",
    "compound=true; rankdir=LR; nodesep=0.4; ranksep=0.8;",
    'node [shape=box, style=rounded, fontname="sans-serif", fontsize=12];',
    'edge [fontname="sans-serif", fontsize=10];',
    ...childrenOf(root).flatMap(stateLines),
    ...initialLines(root),
    ...allStates(root).flatMap(edgeLines),
    "}"
  ].join("\n")
}

/** All states below a node, parents before children. */
export const allStates = (node: AnyStateNode): Array<AnyStateNode> =>
  childrenOf(node).flatMap((child) => [child, ...allStates(child)])

const childrenOf = (node: AnyStateNode): Array<AnyStateNode> => Object.values(node.states)

const stateLines = (node: AnyStateNode): Array<string> => {
  if (childrenOf(node).length > 0) {
    return [
      `subgraph ${quoted(frame(node))} {`,
      `label=${quoted(node.key)}; fontname="sans-serif"; style=rounded;`,
      ...childrenOf(node).flatMap(stateLines),
      "}"
    ]
  }
  const border = node.type === "final" ? ", peripheries=2" : node.type === "history" ? ", shape=circle" : ""
  return [`${quoted(node.id)} [label=${quoted(node.key)}${border}];`]
}

const initialLines = (node: AnyStateNode): Array<string> => {
  const first = node.type === "compound" ? node.initial?.target?.[0] : undefined
  if (first === undefined) return []
  return [`start [shape=point, label=""];`, edge("start", first, "")]
}

const edgeLines = (node: AnyStateNode): Array<string> => {
  const transitions = [...[...node.transitions.values()].flat(), ...(node.always ?? [])]
  const labels = new Map<AnyStateNode, Array<string>>()
  for (const transition of transitions) {
    for (const target of transition.target ?? [node]) {
      labels.set(target, [...(labels.get(target) ?? []), labelOf(transition)])
    }
  }
  return [...labels].map(([target, lines]) => edge(node, target, lines.join("\n")))
}

const labelOf = ({ actions, eventType, guard }: AnyTransitionDefinition): string => {
  const event = /^xstate\.after\.(\d+)/.exec(eventType)?.[1]
  const done = actions.map(nameOf).filter((name) => name !== "")
  return [
    event === undefined ? eventType : `after ${event} ms`,
    ...(guard === undefined ? [] : [`[${nameOf(guard) || "guard"}]`]),
    ...(done.length === 0 ? [] : [`/ ${done.join(", ")}`])
  ]
    .filter((part) => part !== "")
    .join(" ")
}

/** Of an action or a guard; nothing where it is an anonymous function. */
const nameOf = (named: unknown): string =>
  typeof named === "string"
    ? named
    : typeof named === "object" && named !== null && "type" in named
      ? String(named.type)
      : ""

const edge = (from: AnyStateNode | "start", to: AnyStateNode, label: string): string => {
  const frames = [
    from === "start" || from === leafOf(from) ? "" : `, ltail=${quoted(frame(from))}`,
    to === leafOf(to) ? "" : `, lhead=${quoted(frame(to))}`
  ]
  const tail = from === "start" ? from : quoted(leafOf(from).id)
  return `${tail} -> ${quoted(leafOf(to).id)} [label=${quoted(label)}${frames.join("")}];`
}

/** Edges go from leaf to leaf; the frame of a state of states cuts them off. */
const leafOf = (node: AnyStateNode): AnyStateNode => {
  const [first] = childrenOf(node)
  return first === undefined ? node : leafOf(first)
}

const frame = ({ id }: AnyStateNode): string => `cluster_${id}`

const quoted = (text: string): string => JSON.stringify(text)
