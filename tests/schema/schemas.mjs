// The schemas, compiled by a validator that is not ours, and files as it sees them.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import path from 'node:path'
import Ajv from 'ajv/dist/2020.js'
import YAML from 'yaml'

export const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = path.join(root, 'src/config/schema')
// `strict`: an unknown keyword is an error here and not a silent nothing. The other two do not look behind a `$ref`.
const ajv = new Ajv({ strict: true, strictTypes: false, strictRequired: false, allErrors: true })

for (const name of ['policy', 'config', 'test', 'audit', 'profile']) {
  // The key is what `$ref` calls it; adding it checks it against the meta schema.
  ajv.addSchema(JSON.parse(readFileSync(path.join(folder, `${name}.schema.json`), 'utf8')), `${name}.schema.json`)
}

/** What the schema says is wrong with a value; nothing: it is valid. */
export function complaints(kind, value) {
  const validate = ajv.getSchema(`${kind}.schema.json`)
  if (validate(value)) return []
  return validate.errors.map((error) => `${error.instancePath || '/'} ${error.message}`)
}

/** A file's value, as an editor's YAML reader gives it: YAML 1.2, core schema. Throws where it is no YAML. */
export function read(file) {
  return YAML.parse(readFileSync(path.join(root, file), 'utf8'), { version: '1.2', schema: 'core', merge: false })
}

/** A value as YAML, in which a text that could be taken for something else has quotes. */
export function written(value) {
  return YAML.stringify(value, { version: '1.2', schema: 'core', lineWidth: 0, aliasDuplicateObjects: false })
}
