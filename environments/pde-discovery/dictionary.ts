/** The fifteen candidate terms of the reaction f(u) (specification of environments, section 7.1). */

export const termNames = [
  "u",
  "u^2",
  "u^3",
  "u^4",
  "u^5",
  "u^7",
  "sin(u)",
  "sin(2*u)",
  "exp(u)-1",
  "log(1+u^2)",
  "tanh(u)",
  "u/(1+u^2)",
  "u^2/(1+u^2)",
  "u^4/(1+u^4)",
  "u/(1+u+u^2)"
] as const

export type TermName = (typeof termNames)[number]

/** What each term is at a value of u. */
export const terms: Readonly<Record<TermName, (u: number) => number>> = {
  u: (u) => u,
  "u^2": (u) => u * u,
  "u^3": (u) => u * u * u,
  "u^4": (u) => u * u * (u * u),
  "u^5": (u) => u * u * (u * u) * u,
  "u^7": (u) => u * u * u * (u * u * u) * u,
  "sin(u)": Math.sin,
  "sin(2*u)": (u) => Math.sin(2 * u),
  "exp(u)-1": (u) => Math.exp(u) - 1,
  "log(1+u^2)": (u) => Math.log(1 + u * u),
  "tanh(u)": Math.tanh,
  "u/(1+u^2)": (u) => u / (1 + u * u),
  "u^2/(1+u^2)": (u) => (u * u) / (1 + u * u),
  "u^4/(1+u^4)": (u) => (u * u * (u * u)) / (1 + u * u * (u * u)),
  "u/(1+u+u^2)": (u) => u / (1 + u + u * u)
}
