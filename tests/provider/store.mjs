// The provider's memory: sessions, codes, grants. One store outlives a rebuilt provider, as a database would.

export class SharedStore {
  #entries = new Map();

  // The class that `oidc-provider` makes one of for each of its models.
  adapter() {
    const entries = this.#entries;
    return class {
      constructor(model) {
        this.model = model;
      }

      async upsert(id, payload, expiresIn) {
        const until = expiresIn === undefined ? Infinity : Date.now() + expiresIn * 1000;
        entries.set(`${this.model}:${id}`, { payload, until });
      }

      async find(id) {
        const entry = entries.get(`${this.model}:${id}`);
        return entry !== undefined && entry.until > Date.now() ? entry.payload : undefined;
      }

      async findByUid(uid) {
        return this.#first((payload) => payload.uid === uid);
      }

      async findByUserCode(userCode) {
        return this.#first((payload) => payload.userCode === userCode);
      }

      async consume(id) {
        const entry = entries.get(`${this.model}:${id}`);
        if (entry !== undefined) entry.payload.consumed = Math.floor(Date.now() / 1000);
      }

      async destroy(id) {
        entries.delete(`${this.model}:${id}`);
      }

      async revokeByGrantId(grantId) {
        for (const [key, { payload }] of entries) {
          if (key.startsWith(`${this.model}:`) && payload.grantId === grantId) entries.delete(key);
        }
      }

      #first(matches) {
        for (const [key, { payload, until }] of entries) {
          if (key.startsWith(`${this.model}:`) && until > Date.now() && matches(payload)) return payload;
        }
        return undefined;
      }
    };
  }
}
