/** Shapes with named dimensions: `["B", "T", 64]`. A dimension is a number, a name, or a product such as `"2*B*T"`. */
export type Dim = number | string
export type Shape = ReadonlyArray<Dim>

/** The product of dimensions in canonical form: the number first, then the names in order. */
export const product = (dims: Shape): Dim => {
  let factor = 1
  const names: Array<string> = []
  for (const dim of dims) {
    for (const part of typeof dim === "number" ? [dim] : dim.split("*")) {
      const number = Number(part)
      if (Number.isNaN(number)) names.push(String(part))
      else factor *= number
    }
  }
  if (names.length === 0) return factor
  names.sort()
  return (factor === 1 ? names : [factor, ...names]).join("*")
}

/** A dimension over a number that is a factor of it, or undefined: `"128*C"` over 128 is `"C"`. */
export const quotient = (dim: Dim, by: number): Dim | undefined => {
  const [first, ...names] = String(dim).split("*")
  const factor = Number(first)
  return factor % by === 0 ? product([factor / by, ...names]) : undefined
}

export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((dim, i) => dim === b[i])

export const showShape = (shape: Shape): string => `[${shape.join(", ")}]`

/** The shape of an elementwise operation, or undefined where the shapes do not broadcast. */
export const broadcast = (a: Shape, b: Shape): Shape | undefined => {
  const rank = Math.max(a.length, b.length)
  const result: Array<Dim> = []
  for (let i = 0; i < rank; i++) {
    const left = a[a.length - rank + i] ?? 1
    const right = b[b.length - rank + i] ?? 1
    if (left === right || right === 1) result.push(left)
    else if (left === 1) result.push(right)
    else return undefined
  }
  return result
}
