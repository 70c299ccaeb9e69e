/** Node's errors as the classes that Deno has for them. */

const errors = Deno.errors;

/** By the code of a system call. */
const SYSTEM: Readonly<Record<string, new (message: string) => Error>> = {
  EACCES: errors.PermissionDenied,
  EADDRINUSE: errors.AddrInUse,
  EADDRNOTAVAIL: errors.AddrNotAvailable,
  EAGAIN: errors.WouldBlock,
  ECONNABORTED: errors.ConnectionAborted,
  ECONNREFUSED: errors.ConnectionRefused,
  ECONNRESET: errors.ConnectionReset,
  EEXIST: errors.AlreadyExists,
  ENOENT: errors.NotFound,
  ENOTCONN: errors.NotConnected,
  EPERM: errors.PermissionDenied,
  EPIPE: errors.BrokenPipe,
};

/** By the code of OpenSSL, Node's TLS: the words of rustls, Deno's, which lib/net/tls.ts explains. */
const TLS: readonly (readonly [RegExp, string])[] = [
  [/^(UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_)/, "invalid peer certificate: UnknownIssuer"],
  [/ALTNAME_INVALID/, "invalid peer certificate: NotValidForName"],
  [/CERT_NOT_YET_VALID/, "invalid peer certificate: NotValidYet"],
  [/CERT_HAS_EXPIRED/, "invalid peer certificate: Expired"],
  [/INVALID_(CA|PURPOSE)/, "invalid peer certificate: CaUsedAsEndEntity"],
  [/KEY_VALUES_MISMATCH/, "KeyMismatch"],
  [/ALERT_HANDSHAKE_FAILURE/, "alert: HandshakeFailure"],
  [/ALERT_PROTOCOL_VERSION/, "alert: ProtocolVersion"],
  [/ALERT_CERTIFICATE_REQUIRED/, "alert: CertificateRequired"],
  [/ALERT_CERTIFICATE_EXPIRED/, "alert: CertificateExpired"],
  [/ALERT_UNKNOWN_CA/, "alert: UnknownCA"],
  [/ALERT_\w*(CERTIFICATE|ACCESS)/, "alert: BadCertificate"],
  [/UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW/, "NotOffered"],
  [/NO_SHARED|NO_SUITABLE/, "NothingInCommon"],
  [/ALERT_/, "alert: other"],
  [
    /WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH|BAD_RECORD/,
    "InvalidContentType: corrupt message",
  ],
];

/** One of Node's errors as Deno's, if its code is known; otherwise as it is. */
export function asDenoError(error: unknown): unknown {
  if (!(error instanceof Error) || !("code" in error)) return error;
  const { message, code } = error;
  if (/before secure TLS/.test(message)) return new errors.UnexpectedEof("tls handshake eof");
  const Known = SYSTEM[String(code)];
  if (Known) return Object.assign(new Known(message), { code });
  // Deno's node:tls has such codes too, but rustls's words already.
  const isRustls = /^ERR_SSL/.test(String(code)) && !message.includes("SSL routines");
  const tls = isRustls ? undefined : TLS.find(([pattern]) => pattern.test(String(code)));
  return tls ? Object.assign(new Error(tls[1], { cause: error }), { code }) : error;
}
