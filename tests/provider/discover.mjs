// What a client does that knows an API's address and nothing else (npm `oauth4webapi`): it is refused, reads where the API's
// metadata is (RFC 9728), checks it, and checks the metadata of the authorization server that it names.
//
//   node discover.mjs --url URL --resource URL [--token TOKEN]
//
// Prints one line of JSON: the challenge's parameters, where the metadata was found, and both documents.

import { parseArgs } from 'node:util';

import * as oauth from 'oauth4webapi';

const { values: options } = parseArgs({
  options: { url: { type: 'string' }, resource: { type: 'string' }, token: { type: 'string', default: 'none-yet' } },
});

// The provider and the gate of the tests speak plain HTTP on loopback.
const plain = { [oauth.allowInsecureRequests]: true };
const resource = new URL(options.resource);

const challenge = await refusal(new URL(options.url));
const metadata = await fetch(challenge.resource_metadata);
const found = await oauth.processResourceDiscoveryResponse(resource, metadata);

// By the resource's own URL the library comes to the same place.
const guessed = await oauth.resourceDiscoveryRequest(resource, plain);
await oauth.processResourceDiscoveryResponse(resource, guessed.clone());
if (guessed.url !== metadata.url) throw new Error(`${guessed.url} is not ${metadata.url}`);

const issuer = new URL(found.authorization_servers[0]);
const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...plain, algorithm: 'oidc' }));
console.log(JSON.stringify({ challenge, url: metadata.url, resource: found, server }));

async function refusal(url) {
  try {
    await oauth.protectedResourceRequest(options.token, 'GET', url, undefined, undefined, plain);
  } catch (error) {
    if (error instanceof oauth.WWWAuthenticateChallengeError) return error.cause[0].parameters;
    throw error;
  }
  throw new Error(`${url} refused nothing`);
}
