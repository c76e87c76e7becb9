// A certified OpenID provider (npm `oidc-provider`), set up the way a bank's would be: authorization code with PKCE,
// resource indicators, JWT access tokens (RFC 9068) that say how the user signed in, sessions, step-up by `acr_values`.
//
//   node server.mjs [--port N] [--control-port N] [--alg RS256] [--acr-values-supported "a b c"] [--jwks-max-age SECONDS]
//        [--shape NAME]      how a sign-in stands in tokens: a vendor of shapes.mjs; default plain
//
// Once it listens it prints one line: {"issuer":"http://127.0.0.1:…","control":"http://127.0.0.1:…"}.
// It listens on loopback only. The control port stands for the provider's operator, never for a user:
//
//   POST /rotate?alg=ES256&old=keep|remove   a new signing key, used from now on; answers {"kid":…}
//   POST /bad-key                            adds keys to the key set that nobody can use
//   GET  /state                              {"kids":[…],"hits":{…}}, how often its documents were asked for

import { createServer } from 'node:http';
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';

import Provider, { errors, interactionPolicy } from 'oidc-provider';

import { SharedStore } from './store.mjs';
import { consentPage, loginPage } from './pages.mjs';
import { SHAPES } from './shapes.mjs';

const { values: options } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    'control-port': { type: 'string', default: '0' },
    alg: { type: 'string', default: 'RS256' },
    'acr-values-supported': { type: 'string', default: 'urn:example:loa:1 urn:example:loa:2 urn:example:loa:3' },
    'jwks-max-age': { type: 'string' },
    shape: { type: 'string', default: 'plain' },
  },
});

const shape = SHAPES[options.shape];
if (shape === undefined) throw new Error(`no shape ${options.shape}; there are ${Object.keys(SHAPES).join(', ')}`);

const RESOURCE = 'https://api.demo.example';
const RESOURCE_SCOPES = shape.scopes ?? 'accounts payments';
const REDIRECT_URI = 'http://127.0.0.1:9/callback';
const acrValues = options['acr-values-supported'].split(' ').filter(Boolean);

// What outlives a key rotation: sessions, grants and the cookie keys.
const store = new SharedStore();
const cookieKeys = [randomBytes(32).toString('base64url')];

let alg = options.alg;
let keys = [newKey(alg)];
let badKeys = [];
// What an account's last sign-in left besides acr and amr: the attributes that some vendors pass on.
const attributes = new Map();
const hits = { '/.well-known/openid-configuration': 0, '/jwks': 0 };
let provider;
let handle;

const server = createServer((req, res) => {
  const path = req.url.split('?')[0];
  if (path in hits) hits[path] += 1;
  const interaction = /^\/interaction\/[^/]+(?:\/(login|confirm|abort))?$/.exec(path);
  const done = interaction ? interact(req, res, interaction[1]) : handle(req, res);
  Promise.resolve(done).catch((error) => fail(res, error));
});
const control = createServer((req, res) => {
  Promise.resolve(operate(req, res)).catch((error) => fail(res, error));
});

await listen(server, options.port);
await listen(control, options['control-port']);
const issuer = urlOf(server);
build();
console.log(JSON.stringify({ issuer, control: urlOf(control) }));

// --- the provider -----------------------------------------------------------------------------------------------

function build() {
  provider = new Provider(issuer, {
    adapter: store.adapter(),
    jwks: { keys: keys.map((key) => ({ ...key })) },
    cookies: { keys: cookieKeys },
    acrValues,
    scopes: ['openid'],
    clients: [
      client('web', { token_endpoint_auth_method: 'none' }),
      client('app', { client_secret: 'app-secret-of-the-test-provider', token_endpoint_auth_method: 'client_secret_basic' }),
      {
        client_id: 'job-7',
        client_secret: 'job-secret-of-the-test-provider',
        token_endpoint_auth_method: 'client_secret_basic',
        grant_types: ['client_credentials'],
        response_types: [],
        redirect_uris: [],
        id_token_signed_response_alg: alg,
      },
    ],
    // acr, amr and auth_time belong to the session; both kinds of token may carry them (RFC 9068 section 2.2.1).
    claims: { openid: ['sub', 'auth_time', 'sid', ...shape.idClaims] },
    conformIdTokenClaims: false,
    extraTokenClaims(ctx, token) {
      const grantSource = ctx.oidc.entities.AuthorizationCode ?? ctx.oidc.entities.RefreshToken;
      if (!grantSource || token.kind === 'ClientCredentials') return undefined;
      const { acr, amr, authTime, sid, accountId } = grantSource;
      const said = shape.access({ acr, amr, auth_time: authTime, sid, attributes: attributes.get(accountId) });
      return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
    },
    formats: { customizers: shape.jwt ? { jwt: (ctx, token, parts) => shape.jwt(parts) } : {} },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      backchannelLogout: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo(ctx, resource) {
          if (resource !== RESOURCE) throw new errors.InvalidTarget();
          return {
            scope: RESOURCE_SCOPES,
            audience: RESOURCE,
            accessTokenTTL: 600,
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg, kid: keys[0].kid } },
          };
        },
      },
    },
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ ...attributes.get(id), sub: id }) }),
    interactions: { policy: policy(), url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    pkce: { required: () => true },
    ttl: { Session: 3600, Interaction: 600, Grant: 3600, IdToken: 600, AccessToken: 600, ClientCredentials: 600 },
    renderError(ctx, out) {
      ctx.type = 'json';
      ctx.body = out;
    },
  });
  provider.use(async (ctx, next) => {
    await next();
    if (ctx.path !== '/jwks' || ctx.status !== 200) return;
    ctx.body = { keys: [...ctx.body.keys, ...badKeys] };
    if (options['jwks-max-age'] !== undefined) {
      ctx.set('cache-control', `public, max-age=${options['jwks-max-age']}`);
    }
  });
  provider.on('server_error', (ctx, error) => console.error(error));
  handle = provider.callback();
}

function client(id, extra) {
  return {
    client_id: id,
    redirect_uris: [REDIRECT_URI],
    grant_types: ['authorization_code'],
    response_types: ['code'],
    require_auth_time: true,
    backchannel_logout_uri: 'http://127.0.0.1:9/logout',
    backchannel_logout_session_required: true, // so that both tokens carry `sid`
    id_token_signed_response_alg: alg,
    ...extra,
  };
}

// A session whose acr is not among the requested values has to sign in again: this is the step-up.
function policy() {
  const { Check, base } = interactionPolicy;
  const prompts = base();
  prompts.get('login').checks.add(new Check(
    'acr_values',
    'the session does not reach what acr_values asks for',
    'login_required',
    ({ oidc }) => {
      const wanted = oidc.params.acr_values?.split(' ') ?? [];
      const met = wanted.length === 0 || wanted.includes(oidc.session.acr) || oidc.result?.login !== undefined;
      return met ? Check.NO_NEED_TO_PROMPT : Check.REQUEST_PROMPT;
    },
  ));
  return prompts;
}

// --- the user's part ---------------------------------------------------------------------------------------------

async function interact(req, res, step) {
  const details = await provider.interactionDetails(req, res);
  const { uid, prompt, params, session } = details;
  if (req.method === 'GET' && step === undefined) {
    const page = prompt.name === 'login' ? loginPage({ uid, params, session, acrValues }) : consentPage({ uid, params });
    res.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' }).end(page);
    return;
  }
  if (req.method !== 'POST') {
    res.writeHead(405, { allow: 'GET, POST' }).end();
    return;
  }
  if (step === 'login' && prompt.name === 'login') {
    await signIn(req, res, details, await form(req));
  } else if (step === 'confirm' && prompt.name === 'consent') {
    const grantId = await grant(details);
    await provider.interactionFinished(req, res, { consent: { grantId } });
  } else {
    const error = { error: 'access_denied', error_description: 'the user went away' };
    await provider.interactionFinished(req, res, error, { mergeWithLastSubmission: false });
  }
}

async function signIn(req, res, { params }, fields) {
  const accountId = fields.get('user');
  if (!accountId) {
    res.writeHead(400).end('a user is needed');
    return;
  }
  const acr = fields.get('acr') || undefined;
  const amr = (fields.get('amr') ?? '').split(/[ ,]+/).filter(Boolean);
  const wanted = params.acr_values?.split(' ') ?? [];
  if (wanted.length > 0 && !wanted.includes(acr) && fields.get('weaker') !== 'allow') {
    // RFC 9470 section 5. `weaker=allow` plays the provider that issues a weaker token all the same.
    const error = {
      error: 'unmet_authentication_requirements',
      error_description: 'the user could not sign in as strongly as asked',
    };
    await provider.interactionFinished(req, res, error, { mergeWithLastSubmission: false });
    return;
  }
  const said = { acr, amr: amr.length > 0 ? amr : undefined };
  const { attributes: left, ...recorded } = shape.login?.(said) ?? said;
  attributes.set(accountId, left);
  const login = { accountId, ...recorded };
  const ago = Number(fields.get('ago') ?? 0);
  if (ago > 0) login.ts = Math.floor(Date.now() / 1000) - ago;
  await provider.interactionFinished(req, res, { login }, { mergeWithLastSubmission: false });
}

async function grant({ grantId, session, params, prompt }) {
  const granted = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = prompt.details;
  if (missingOIDCScope) granted.addOIDCScope(missingOIDCScope.join(' '));
  if (missingOIDCClaims) granted.addOIDCClaims(missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(missingResourceScopes ?? {})) {
    granted.addResourceScope(resource, scopes.join(' '));
  }
  return granted.save();
}

// --- the operator's part -----------------------------------------------------------------------------------------

async function operate(req, res) {
  const url = new URL(req.url, 'http://control');
  const call = `${req.method} ${url.pathname}`;
  if (call === 'POST /rotate') {
    alg = url.searchParams.get('alg') ?? alg;
    const key = newKey(alg);
    keys = url.searchParams.get('old') === 'remove' ? [key] : [key, ...keys];
    build();
    answer(res, 200, { kid: key.kid, alg });
  } else if (call === 'POST /bad-key') {
    badKeys = [
      { kty: 'RSA', use: 'sig', kid: 'not-base64url', alg: 'RS256', n: '*** not base64url ***', e: 'AQAB' },
      { kty: 'EC', use: 'sig', kid: 'not-on-the-curve', alg: 'ES256', crv: 'P-256', x: 'AQ'.padEnd(43, 'A'), y: 'AQ'.padEnd(43, 'A') },
      { kty: 'oct', use: 'sig', kid: 'symmetric', alg: 'HS256', k: 'c2VjcmV0' },
      { kty: 'XYZ', kid: 'unknown-type' },
    ];
    answer(res, 200, { kids: badKeys.map((key) => key.kid) });
  } else if (call === 'GET /state') {
    answer(res, 200, { kids: keys.map((key) => key.kid), hits });
  } else {
    answer(res, 404, { error: 'not_found' });
  }
}

// --- small parts -------------------------------------------------------------------------------------------------

function newKey(algorithm) {
  const { privateKey } = algorithm.startsWith('ES')
    ? generateKeyPairSync('ec', { namedCurve: { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[algorithm] })
    : algorithm === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = privateKey.export({ format: 'jwk' });
  const kid = createHash('sha256').update(jwk.n ?? jwk.x).digest('base64url').slice(0, 16);
  return { ...jwk, use: 'sig', alg: algorithm, kid };
}

function listen(listener, port) {
  return new Promise((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(Number(port), '127.0.0.1', resolve);
  });
}

function urlOf(listener) {
  return `http://127.0.0.1:${listener.address().port}`;
}

async function form(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'));
}

function answer(res, status, body) {
  res.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}

function fail(res, error) {
  console.error(error);
  if (!res.headersSent) answer(res, error.statusCode ?? 500, { error: error.error ?? error.message });
}
