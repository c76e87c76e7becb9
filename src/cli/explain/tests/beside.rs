//! What a request brings besides tokens.
