// What `check --format sarif` prints, against the schema of SARIF 2.1.0 as Microsoft's own tools ship it.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import Ajv from 'ajv-draft-04'
import formats from 'ajv-formats'

const shipped = path.dirname(createRequire(import.meta.url).resolve('@microsoft/jest-sarif'))
const ajv = new Ajv({ strict: false, allErrors: true, unicodeRegExp: false })
formats(ajv)
const validate = ajv.compile(JSON.parse(readFileSync(path.join(shipped, 'schemas/sarif-2.1.0-rtm.5.json'), 'utf8')))

/** What the schema says is wrong with a log; nothing: it is valid. */
export function complaints(log) {
  return validate(log) ? [] : validate.errors.map((error) => `${error.instancePath || '/'} ${error.message}`)
}
