// How vendors put a sign-in into tokens. The test's user signs in as ever, by an acr and amr values; a shape says what becomes
// of them, through what the provider offers its operators: the login's own result, the claims of an account, which claims an
// id_token has, and what a JWT access token looks like.
//
// A shape may have:
//   login({ acr, amr })            the login as this vendor records it; may have `attributes`: claims of its own
//   idClaims                       the claims of its id_tokens besides sub, auth_time and sid
//   access({ acr, amr, attributes, … })  what its access tokens say besides what every one says
//   jwt({ header, payload })       the last word on a JWT access token
//   scopes                         the scopes of its API

const both = ({ acr, amr, auth_time, sid }) => ({ acr, amr, auth_time, sid });
const without = (values, ...out) => {
  const rest = values?.filter((value) => !out.includes(value));
  return rest?.length > 0 ? rest : undefined;
};

export const SHAPES = {
  // RFC 9068: both kinds of token say both.
  plain: { idClaims: ['acr', 'amr'], access: both },

  // RSA's Cloud Authentication Service: `amr` only if the user was challenged with additional authentication. No `acr`. That
  // it then lists the additional method alone is not known; it is the harder case.
  rsa: {
    login: ({ amr }) => ({ amr: without(amr, 'pwd') }),
    idClaims: ['amr'],
    access: ({ auth_time, sid }) => ({ auth_time, sid }),
  },

  // A provider that answers Microsoft Entra as an external authentication method: `acr` is what Entra asks for after a
  // password, `amr` the one method that came on top.
  'entra-eam': {
    login: ({ amr }) => ({ acr: 'possessionorinherence', amr: without(amr, 'pwd') }),
    idClaims: ['acr', 'amr'],
    access: ({ auth_time, sid }) => ({ auth_time, sid }),
  },

  // SecureAuth in front of a provider without acr and amr: the facts stand in a nested attribute, in its own words.
  secureauth: {
    login: ({ amr }) => {
      const words = { pwd: 'Password', otp: 'Authenticator App', sms: 'Text Message' };
      const methods = amr?.map((value) => words[value] ?? value);
      return { attributes: { ext: { auth_method: methods?.length === 1 ? methods[0] : methods } } };
    },
    idClaims: ['ext'],
    access: ({ attributes, auth_time, sid }) => ({ ...attributes, auth_time, sid }),
  },

  // A bank of Open Finance Brasil: `acr` in the id_token, the consent in the access token.
  brasil: {
    idClaims: ['acr', 'amr'],
    access: ({ auth_time, sid }) => ({ auth_time, sid, consent_id: '7' }),
  },

  // A data holder of the Consumer Data Right: `acr` in the id_token alone.
  cdr: {
    idClaims: ['acr'],
    access: ({ auth_time, sid }) => ({ auth_time, sid }),
    scopes: 'energy:electricity.usage:read energy:accounts.plan:write',
  },

  // A hospital's provider: SAML classes as acr; the older kind of sign-in has only an amr.
  health: { idClaims: ['acr', 'amr'], access: both },

  // KOBIL: `acr` a number in a text, by the factors; `mfa` and `mvk` beside a second one.
  kobil: {
    login: ({ acr, amr }) => {
      const second = amr?.filter((value) => value !== 'pwd') ?? [];
      const shown = second.filter((value) => value !== 'email');
      return second.length > 0
        ? { acr: acr ?? '2', amr: ['mfa', 'mvk', 'pwd', ...shown] }
        : { acr: acr ?? '1', amr };
    },
    idClaims: ['acr', 'amr'],
    access: both,
    scopes: 'transfer',
  },

  // Okta's custom authorization server: the client in `cid`, the scopes a list in `scp`, `mfa` beside two factors.
  okta: {
    login: ({ acr, amr }) => ({ acr, amr: amr?.length > 1 ? [...amr, 'mfa'] : amr }),
    idClaims: ['acr', 'amr'],
    access: ({ acr, amr, auth_time }) => ({ acr, amr, auth_time, ver: 1 }),
    jwt(token) {
      const { client_id: cid, scope, ...rest } = token.payload;
      token.payload = { ...rest, cid, uid: rest.sub, scp: scope?.split(' ') };
      token.header = { typ: 'JWT' };
    },
    scopes: 'hr.read hr.write hr.admin',
  },

  // An Okta org whose `amr` comes from another provider, which writes one text.
  'okta-text': {
    login: ({ acr, amr }) => ({ acr, amr: amr?.join(' ') }),
    idClaims: ['acr', 'amr'],
    access: both,
  },
};
