// Real audit lines: of the demo, and of a gate whose upstream is not there.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'

/** The audit lines that the program writes for a handful of requests. */
export async function auditLines(program) {
  return [...(await ofTheDemo(program)), ...(await ofAFailure(program))]
}

async function ofTheDemo(program) {
  const ports = ['--gate-port', '0', '--idp-port', '0', '--echo-port', '0', '--admin-port', '0']
  const gate = start(program, ['demo', ...ports])
  try {
    const story = await gate.says(/http:\/\/(\S+)\/payments\/7[^]*?http:\/\/([^/\s]+)\/token/)
    const token = async (query) => (await fetch(`http://${story[2]}/token?${query}`)).text()
    const strong = 'amr=pwd,otp&acr=urn:example:loa:2'
    const send = async (method, target, query) => {
      const headers = query ? { authorization: `Bearer ${(await token(query)).trim()}` } : {}
      await fetch(`http://${story[1]}${target}`, { method, headers })
    }
    await send('GET', '/healthz')
    await send('GET', '/nowhere')
    await send('GET', '/accounts')
    await send('GET', '/accounts', 'amr=pwd')
    await send('POST', '/payments/7', 'amr=pwd')
    await send('POST', '/payments/7', strong)
    await send('POST', '/payments/7', `${strong}&age=none`)
    await send('POST', '/payments/7', `${strong}&lifetime=-1m`)
    await send('POST', '/payments/7', 'sub=job-7&client=job-7')
    return await gate.lines(9)
  } finally {
    gate.stop()
  }
}

async function ofAFailure(program) {
  const folder = mkdtempSync(path.join(tmpdir(), 'stepgate-audit-'))
  const [port, nobody] = [await free(), await free()]
  const listen = `listeners: [{ address: "127.0.0.1:${port}" }]`
  const upstream = `upstreams: { app: { url: "http://127.0.0.1:${nobody}" } }`
  const routes = 'routes: [{ name: open, match: { path: "/**" }, require: public }]'
  const settings = path.join(folder, 'stepgate.yaml')
  mkdirSync(path.join(folder, 'policies'))
  writeFileSync(settings, `version: 1\n${listen}\n${upstream}\n`)
  writeFileSync(path.join(folder, 'policies/policy.yaml'), `version: 1\n${routes}\n`)
  const gate = start(program, ['run', '--config', settings])
  try {
    await answers(`http://127.0.0.1:${port}/`)
    return await gate.lines(2)
  } finally {
    gate.stop()
    rmSync(folder, { recursive: true })
  }
}

async function free() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  return port
}

async function answers(url) {
  for (let tries = 0; tries < 100; tries += 1) {
    try {
      return await fetch(url)
    } catch {
      await pause()
    }
  }
  throw new Error(`${url} does not answer`)
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 50))

function start(program, args) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text) => (said += text))
  const until = async (what, found) => {
    for (let tries = 0; tries < 200; tries += 1) {
      const result = found()
      if (result) return result
      await pause()
    }
    throw new Error(`stepgate ${args[0]} did not say ${what}, only:\n${said}`)
  }
  const lines = () => said.split('\n').slice(0, -1).filter((line) => line.startsWith('{"v":'))
  return {
    says: (pattern) => until(pattern, () => pattern.exec(said)),
    lines: (least) => until(`${least} audit lines`, () => lines().length >= least && lines()),
    stop: () => child.kill('SIGKILL'),
  }
}
