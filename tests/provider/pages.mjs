// The two pages a user sees at the test provider: plain forms, so that a script can fill them in as a browser would.

// The ways to sign in that the page offers by name; any other acr and amr can be typed.
const WAYS = [
  { label: 'Sign in with password', acr: 'urn:example:loa:1', amr: 'pwd' },
  { label: 'Sign in with password and OTP', acr: 'urn:example:loa:2', amr: 'pwd otp' },
  { label: 'Sign in with a passkey', acr: 'urn:example:loa:3', amr: 'hwk pin user' },
];

export function loginPage({ uid, params, session, acrValues }) {
  const forms = WAYS.map(({ label, acr, amr }) => loginForm({ uid, label, acr, amr, user: session?.accountId }));
  return page('Sign in', `
    <p>${escape(params.client_id)} asks you to sign in${params.acr_values ? ` (${escape(params.acr_values)})` : ''}.</p>
    ${forms.join('\n')}
    <p>Levels here: ${acrValues.map(escape).join(', ')}</p>
    <form method="post" action="/interaction/${uid}/abort"><button>Cancel</button></form>`);
}

export function consentPage({ uid, params }) {
  return page('Allow', `
    <p>${escape(params.client_id)} asks for: ${escape(params.scope)}</p>
    <form method="post" action="/interaction/${uid}/confirm"><button>Allow</button></form>
    <form method="post" action="/interaction/${uid}/abort"><button>Cancel</button></form>`);
}

function loginForm({ uid, label, acr, amr, user }) {
  return `<form method="post" action="/interaction/${uid}/login">
      <input name="user" value="${escape(user ?? '')}" required>
      <input name="acr" value="${escape(acr)}">
      <input name="amr" value="${escape(amr)}">
      <button>${escape(label)}</button>
    </form>`;
}

function page(title, body) {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title></head><body>
    <h1>${title}</h1>${body}</body></html>`;
}

function escape(text) {
  return String(text).replace(/[&<>"']/g, (c) => `&#${c.codePointAt(0)};`);
}
