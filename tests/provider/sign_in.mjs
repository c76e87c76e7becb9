// Signs a user in at a provider by the authorization-code flow with PKCE, as a browser and an app would together:
// authorization request, login page, consent page, redirect with the code, token request. No browser is needed.
//
//   node sign_in.mjs --issuer URL --user NAME [--acr VALUE] [--amr pwd,otp]
//        [--acr-values "a b"] [--max-age SECONDS] [--prompt login] [--scope "openid accounts"] [--resource URI]
//        [--client web|app] [--session FILE]      FILE keeps the browser's cookies between runs: one session
//        [--ago SECONDS] [--weaker]               when the sign-in was; sign in weaker than acr_values asks
//   node sign_in.mjs --issuer URL --client-credentials [--scope accounts] [--resource URI]
//
// Prints {"access_token":…,"id_token":…,"expires_in":…,"scope":…,"prompted":["login","consent"]}.
// An error that the provider sends back goes to standard output as {"error":…} with exit code 1.

import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    issuer: { type: 'string' },
    user: { type: 'string', default: 'alice' },
    acr: { type: 'string', default: '' },
    amr: { type: 'string', default: '' },
    'acr-values': { type: 'string' },
    'max-age': { type: 'string' },
    prompt: { type: 'string' },
    scope: { type: 'string' },
    resource: { type: 'string', default: 'https://api.demo.example' },
    client: { type: 'string', default: 'web' },
    session: { type: 'string' },
    ago: { type: 'string' },
    weaker: { type: 'boolean', default: false },
    'client-credentials': { type: 'boolean', default: false },
  },
});

const REDIRECT_URI = 'http://127.0.0.1:9/callback';
const SECRETS = { app: 'app-secret-of-the-test-provider', 'job-7': 'job-secret-of-the-test-provider' };
const cookies = new Map(options.session && existsSync(options.session) ? JSON.parse(readFileSync(options.session)) : []);

try {
  const metadata = await (await send(`${options.issuer}/.well-known/openid-configuration`)).json();
  const tokens = options['client-credentials'] ? await asClient(metadata) : await asUser(metadata);
  if (options.session) writeFileSync(options.session, JSON.stringify([...cookies]));
  console.log(JSON.stringify(tokens));
  process.exitCode = tokens.error ? 1 : 0;
} catch (error) {
  console.error(error);
  process.exitCode = 2;
}

async function asUser(metadata) {
  const verifier = randomBytes(32).toString('base64url');
  const state = randomBytes(8).toString('base64url');
  const request = new URL(metadata.authorization_endpoint);
  const params = {
    client_id: options.client,
    response_type: 'code',
    redirect_uri: REDIRECT_URI,
    scope: options.scope ?? 'openid accounts payments',
    resource: options.resource,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    state,
    nonce: randomBytes(8).toString('base64url'),
    acr_values: options['acr-values'],
    max_age: options['max-age'],
    prompt: options.prompt,
  };
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined) request.searchParams.set(name, value);
  }
  const { callback, prompted } = await browse(request.href);
  const error = callback.searchParams.get('error');
  if (error) return { error, error_description: callback.searchParams.get('error_description'), prompted };
  if (callback.searchParams.get('state') !== state) throw new Error('the state came back changed');
  const tokens = await redeem(metadata, options.client, {
    grant_type: 'authorization_code',
    code: callback.searchParams.get('code'),
    redirect_uri: REDIRECT_URI,
    code_verifier: verifier,
    resource: options.resource,
  });
  return { ...tokens, prompted };
}

function asClient(metadata) {
  return redeem(metadata, 'job-7', {
    grant_type: 'client_credentials',
    scope: options.scope ?? 'accounts payments',
    resource: options.resource,
  });
}

// Follows redirects and fills in the pages until the provider sends the browser to the redirect URI.
async function browse(start) {
  const prompted = [];
  let response = await send(start);
  for (let step = 0; step < 20; step += 1) {
    const location = response.headers.get('location');
    if (location !== null) {
      const next = new URL(location, response.url);
      if (next.href.startsWith(REDIRECT_URI)) return { callback: next, prompted };
      response = await send(next.href);
      continue;
    }
    const page = await response.text();
    if (response.status !== 200) throw new Error(`${response.status} from ${response.url}: ${page}`);
    const action = /action="([^"]*\/(login|confirm)|[^"]*end_session[^"]*)"/.exec(page);
    if (action === null) throw new Error(`no form to fill in at ${response.url}: ${page}`);
    const fields = new URLSearchParams();
    for (const [, name, value] of page.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)) {
      fields.set(name, value);
    }
    if (action[2] === 'login') {
      fields.set('user', options.user);
      fields.set('acr', options.acr);
      fields.set('amr', options.amr);
      if (options.ago) fields.set('ago', options.ago);
      if (options.weaker) fields.set('weaker', 'allow');
    }
    prompted.push(action[2] === 'confirm' ? 'consent' : action[2] ?? 'logout');
    response = await send(new URL(action[1], response.url).href, fields);
  }
  throw new Error('too many steps');
}

async function redeem(metadata, client, fields) {
  const headers = {};
  const body = new URLSearchParams(fields);
  if (SECRETS[client] === undefined) {
    body.set('client_id', client);
  } else {
    headers.authorization = `Basic ${Buffer.from(`${client}:${SECRETS[client]}`).toString('base64')}`;
  }
  return (await fetch(metadata.token_endpoint, { method: 'POST', headers, body })).json();
}

// One request of the browser, with its cookies. The paths of cookies are kept, since the provider counts on them.
async function send(url, form) {
  const { pathname } = new URL(url);
  const cookie = [...cookies.values()]
    .filter(({ path }) => pathname === path || pathname.startsWith(path.endsWith('/') ? path : `${path}/`))
    .map(({ name, value }) => `${name}=${value}`)
    .join('; ');
  const response = await fetch(url, {
    method: form ? 'POST' : 'GET',
    body: form,
    redirect: 'manual',
    headers: cookie ? { cookie } : {},
  });
  for (const line of response.headers.getSetCookie()) keep(line, pathname);
  return response;
}

function keep(line, pathname) {
  const [pair, ...attributes] = line.split(';').map((part) => part.trim());
  const [name, ...value] = pair.split('=');
  const attribute = (key) => attributes.find((one) => one.toLowerCase().startsWith(`${key}=`))?.slice(key.length + 1);
  const path = attribute('path') ?? (pathname.slice(0, pathname.lastIndexOf('/')) || '/');
  const expires = attribute('expires');
  const gone = expires !== undefined && Date.parse(expires) <= Date.now();
  if (gone) cookies.delete(`${name} ${path}`);
  else cookies.set(`${name} ${path}`, { name, value: value.join('='), path });
}
