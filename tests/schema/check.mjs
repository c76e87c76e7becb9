// Does an independent validator, with our schemas, agree with our loader? It must take every file that ships, refuse
// every broken file that the tests keep, and judge small changes to good files as the loader does. What no schema can
// express stands in beyond.json, by problem code or by file, with the reason; what stands there in vain fails too.
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { auditLines } from './audit.mjs'
import { mutants } from './mutate.mjs'
import { complaints, read, root, written } from './schemas.mjs'

const program = path.resolve(root, process.argv[2] ?? 'target/e2e/stepgate')
const beyond = JSON.parse(readFileSync(new URL('./beyond.json', import.meta.url), 'utf8'))
const needed = new Set()
const failures = []
const seen = { good: 0, broken: 0, changed: 0, lines: 0 }

function list(folder, wanted) {
  return readdirSync(path.join(root, folder)).filter(wanted).sort().map((name) => `${folder}/${name}`)
}

const yaml = (name) => name.endsWith('.yaml')
const examples = list('policies/examples', (name) => statSync(path.join(root, 'policies/examples', name)).isDirectory())
const catalogue = list('tests/catalogue', (name) => statSync(path.join(root, 'tests/catalogue', name)).isDirectory())
// One with a token at a time, one with two: their changes say as much as those of all.
const few = ['policies/examples/demo', 'policies/examples/openfinance-brasil']
const good = [
  ...examples.map((folder) => ['policy', `${folder}/policy.yaml`]),
  ...examples.map((folder) => ['test', `${folder}/policy.test.yaml`]),
  ...list('policies/profiles', yaml).map((file) => ['profile', file]),
  ...catalogue.map((folder) => ['policy', `${folder}/policy.yaml`]),
  ...catalogue.map((folder) => ['test', `${folder}/${path.basename(folder)}.test.yaml`]),
  ['config', 'deploy/stepgate.yaml'],
  ...list('tests/config/valid', yaml).map((file) => ['policy', file]),
  ...list('tests/config/linted', yaml).map((file) => ['policy', file]),
  ...['valid', 'linted'].flatMap((folder) => list(`tests/config/settings/${folder}`, yaml)).map((file) => ['config', file]),
  ['policy', 'tests/config/cli/promises/policy.yaml'],
  ['test', 'tests/config/cli/promises/policy.test.yaml'],
  ['policy', 'tests/config/cli/observed/policy.yaml'],
  ['test', 'tests/config/cli/observed/policy.test.yaml'],
]
const broken = [
  ...list('tests/config/invalid', yaml).map((file) => ['policy', file]),
  ...list('tests/config/settings/invalid', yaml).map((file) => ['config', file]),
]

/** What a schema says, and the loader by its codes (none: it takes the file), agree, or it is known why they cannot. */
function compare(what, said, codes) {
  if (codes.length === 0) {
    if (said.length > 0) failures.push(`${what}: the loader takes it, and the schema does not: ${said.join('; ')}`)
    return
  }
  if (said.length > 0) return
  const unexplained = codes.filter((code) => !(code in beyond.codes))
  if (unexplained.length > 0) failures.push(`${what}: the loader refuses it (${unexplained}), and the schema takes it`)
  for (const code of codes) needed.add(code)
}

function shipped() {
  for (const [kind, file] of good) {
    seen.good += 1
    compare(file, complaints(kind, read(file)), [])
  }
}

function fixtures() {
  for (const [kind, file] of broken) {
    seen.broken += 1
    const words = readFileSync(path.join(root, file.replace(/yaml$/, 'txt')), 'utf8')
    const codes = [...new Set([...words.matchAll(/^error\[(\w+)\]/gm)].map((found) => found[1]))]
    let said
    try {
      said = complaints(kind, read(file))
    } catch (error) {
      said = [String(error)]
    }
    if (said.length === 0 && file in beyond.files) needed.add(file)
    else compare(file, said, codes)
  }
}

/** Runs the program; what it found wrong is no failure of ours. */
function stepgate(folder, ...args) {
  const run = spawnSync(program, args, { cwd: folder, encoding: 'utf8', maxBuffer: 1 << 30 })
  if (run.status !== 0 && run.status !== 1) throw new Error(`stepgate ${args.join(' ')}: ${run.stderr}`)
  return run.stdout
}

/** Writes each change of a value to a folder of its own; says what was written where. */
function spread(folder, file, value, from, beside = {}) {
  const all = []
  mutants(value, (what, changed) => {
    const name = `${from}-${all.length}`
    mkdirSync(path.join(folder, name))
    writeFileSync(path.join(folder, name, file), written(changed))
    for (const [other, text] of Object.entries(beside)) writeFileSync(path.join(folder, name, other), text)
    all.push({ name, what, changed })
  })
  seen.changed += all.length
  return all
}

async function inFolder(judge) {
  const folder = mkdtempSync(path.join(tmpdir(), 'stepgate-schema-'))
  try {
    await judge(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function changedPolicies(folder) {
  const files = [...few.map((name) => `${name}/policy.yaml`), ...list('tests/config/valid', yaml)]
  const all = files.flatMap((file, place) => {
    return spread(folder, 'policy.yaml', read(file), place).map((one) => ({ ...one, what: `${file} ${one.what}` }))
  })
  const codes = codesByFolder(JSON.parse(stepgate(folder, 'check', '.', '--format', 'json')))
  for (const { name, what, changed } of all) compare(what, complaints('policy', changed), codes(name))
}

function codesByFolder(problems) {
  const found = new Map()
  for (const { severity, file, code } of problems) {
    if (severity !== 'error') continue
    const name = path.basename(path.dirname(file))
    found.set(name, (found.get(name) ?? new Set()).add(code))
  }
  return (name) => [...(found.get(name) ?? [])]
}

async function changedSettings(folder) {
  mkdirSync(path.join(folder, 'policies'))
  writeFileSync(path.join(folder, 'policies/policy.yaml'), 'version: 1\n')
  const all = list('tests/config/settings/valid', yaml).flatMap((file, place) => {
    return spread(folder, 'stepgate.yaml', read(file), place).map((one) => ({ ...one, what: `${file} ${one.what}` }))
  })
  // One run of the program takes one file of settings, so several run at once.
  const judge = async () => {
    for (let one = all.pop(); one; one = all.pop()) {
      const args = ['check', 'policies', '-c', `${one.name}/stepgate.yaml`, '--format', 'json']
      const { stdout } = await promisify(execFile)(program, args, { cwd: folder }).catch((error) => error)
      const problems = JSON.parse(stdout).filter(({ file }) => file.endsWith('stepgate.yaml'))
      compare(one.what, complaints('config', one.changed), codesByFolder(problems)(one.name))
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() + 1 }, judge))
}

function changedTests(folder) {
  const all = few.flatMap((example, place) => {
    const policy = readFileSync(path.join(root, example, 'policy.yaml'), 'utf8')
    const { tokens, cases, ...rest } = read(`${example}/policy.test.yaml`)
    // The first ones say as much as all of them.
    const first = cases.slice(0, 2)
    const called = first.flatMap((one) => one.tokens ?? [one.token])
    const named = Object.fromEntries(Object.entries(tokens).filter(([name]) => called.includes(name)))
    const value = { ...rest, tokens: named, cases: first }
    return spread(folder, 'policy.test.yaml', value, place, { 'policy.yaml': policy })
  })
  const said = stepgate(folder, 'test', '.')
  const problems = [...said.matchAll(/^error\[(\w+)\][^\n]*\n\s*--> ([^:\n]+):/gm)]
  const codes = codesByFolder(problems.map(([, code, file]) => ({ severity: 'error', code, file })))
  for (const { name, what, changed } of all) compare(`test ${what}`, complaints('test', changed), codes(name))
}

async function audit() {
  for (const line of await auditLines(program)) {
    seen.lines += 1
    const said = complaints('audit', JSON.parse(line))
    if (said.length > 0) failures.push(`${line}\n  is no audit line: ${said.join('; ')}`)
  }
}

function inVain() {
  for (const entry of [...Object.keys(beyond.codes), ...Object.keys(beyond.files)]) {
    if (!needed.has(entry)) failures.push(`beyond.json: ${entry} stands there in vain`)
  }
}

let disagreements = 0
if (!existsSync(program)) throw new Error(`there is no ${program}; build it, or name another`)
for (const kind of ['policy', 'config', 'test', 'audit']) {
  const file = readFileSync(path.join(root, `src/config/schema/${kind}.schema.json`), 'utf8')
  if (execFileSync(program, ['schema', kind], { encoding: 'utf8' }) !== file) failures.push(`schema ${kind} prints another`)
}
const stages = {
  'what ships': shipped,
  'broken files': fixtures,
  'changed policies': () => inFolder(changedPolicies),
  'changed tests': () => inFolder(changedTests),
  'changed settings': () => inFolder(changedSettings),
  'audit lines': audit,
  'what is beyond a schema': inVain,
}
for (const [name, stage] of Object.entries(stages)) {
  await stage()
  for (const failure of failures.splice(0)) {
    disagreements += 1
    console.error(failure)
  }
  console.log(`${name}: ${disagreements === 0 ? 'agreed' : `${disagreements} disagreements so far`}`)
}
console.log(`${seen.good} good files, ${seen.broken} broken, ${seen.changed} changed, ${seen.lines} audit lines`)
process.exit(disagreements > 0 ? 1 : 0)
