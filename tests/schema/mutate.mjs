// Every value with one small change in it, of the kinds that people make: a key too many or too few, another type, an
// empty list, a word in another case.

const isMap = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Calls `each(what, changed)` for every value that is one change away. */
export function mutants(value, each) {
  for (const place of places(value)) {
    for (const [what, change] of changes(place.value)) {
      const changed = structuredClone(value)
      const now = set(changed, place.steps, change)
      if (JSON.stringify(now) !== JSON.stringify(value)) each(`/${place.steps.join('/')} ${what}`, now)
    }
    if (place.steps.length > 0) {
      const changed = structuredClone(value)
      each(`/${place.steps.join('/')} taken out`, set(changed, place.steps, () => undefined))
    }
  }
}

function places(value, steps = []) {
  const inner = Array.isArray(value) || isMap(value) ? Object.entries(value) : []
  return [{ steps, value }, ...inner.flatMap(([step, item]) => places(item, [...steps, step]))]
}

function set(value, steps, change) {
  if (steps.length === 0) return change(value)
  const around = steps.slice(0, -1).reduce((inner, step) => inner[step], value)
  const last = steps.at(-1)
  const now = change(around[last])
  if (now !== undefined) around[last] = now
  else if (Array.isArray(around)) around.splice(Number(last), 1)
  else delete around[last]
  return value
}

function* changes(value) {
  for (const other of [7, 'word', true, null, [], {}, ['word'], { word: 'word' }]) {
    yield [`is ${JSON.stringify(other)}`, () => structuredClone(other)]
  }
  if (isMap(value)) yield ['has a key too many', (map) => ({ ...map, surplus: 1 })]
  if (Array.isArray(value) && value.length > 0) yield ['has its first item twice', (list) => [list[0], ...list]]
  if (typeof value === 'string') {
    yield ['is empty', () => '']
    yield ['has a space behind it', (text) => `${text} `]
    yield ['has a control character behind it', (text) => `${text}\u0007`]
    yield ['is in the other case', (text) => (text === text.toUpperCase() ? text.toLowerCase() : text.toUpperCase())]
    yield ['has no last character', (text) => text.slice(0, -1)]
  }
  if (typeof value === 'number') {
    for (const other of [0, -1, value + 0.5, value * 1e6]) yield [`is ${other}`, () => other]
  }
}
