#!/usr/bin/env bash
# Makes certificates for development into certs/dev: an authority of your own, a server for localhost, a client.
# Nothing here is for production, and nothing that it makes is ever committed. Run it again for new ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

out=dev
days=90
umask 077
rm -rf "$out"
mkdir -p "$out"
cd "$out"

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null; }

key ca
openssl req -x509 -new -key ca.key -sha256 -days "$days" -out ca.pem -subj "/CN=Stepgate development CA" \
  -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign"

# leaf NAME SUBJECT USAGE SUBJECT-ALT-NAMES
leaf() {
  key "$1"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -sha256 -days "$days" -out "$1.pem" \
    -set_serial "0x$(openssl rand -hex 16)" -extfile <(printf '%s\n' \
      "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature" "extendedKeyUsage=$3" \
      "subjectAltName=$4" "subjectKeyIdentifier=hash" "authorityKeyIdentifier=keyid") 2>/dev/null
  rm "$1.csr"
}

leaf server "/CN=localhost" serverAuth "DNS:localhost,IP:127.0.0.1,IP:::1"
leaf client "/CN=development client" clientAuth "URI:urn:stepgate:development-client"

openssl verify -CAfile ca.pem server.pem client.pem
echo "certs/dev: ca.pem, server.pem, server.key, client.pem, client.key; good for $days days"
