// Verifies assertions as an application would: with `jose`, by the keys that the gate publishes. Reads one a line, and
// answers each with a line of JSON: its claims and the key that signed it, or the code of what is wrong.
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const { values } = parseArgs({ options: { jwks: { type: 'string' }, issuer: { type: 'string' }, audience: { type: 'string' } } })
// An unknown key is asked for at once, and not only after half a minute as by default.
const keys = createRemoteJWKSet(new URL(values.jwks), { cooldownDuration: 0 })
const rules = { issuer: values.issuer, audience: values.audience, typ: 'stepgate-assertion+jwt', clockTolerance: 5 }

for await (const line of createInterface({ input: process.stdin })) {
  let said
  try {
    const { payload, protectedHeader } = await jwtVerify(line, keys, { ...rules, requiredClaims: ['exp', 'iat', 'jti'] })
    said = { claims: payload, kid: protectedHeader.kid, alg: protectedHeader.alg }
  } catch (error) {
    said = { error: error.code ?? String(error) }
  }
  console.log(JSON.stringify(said))
}
