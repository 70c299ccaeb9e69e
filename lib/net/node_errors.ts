/** Converts Node's errors to the classes that Deno has for them. */

const errors = Deno.errors;

/** Classes by the code of a system call's error. */
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

/** The messages of rustls, Deno's TLS, by the codes of OpenSSL, Node's. See describe_error.ts. */
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

/** Returns one of Node's errors as Deno's if its code is known, otherwise as it is. */
export function asDenoError(error: unknown): unknown {
  if (!(error instanceof Error) || !("code" in error)) return error;
  const { message, code } = error;
  if (/before secure TLS/.test(message)) return new errors.UnexpectedEof("tls handshake eof");
  const Known = SYSTEM[String(code)];
  if (Known) return Object.assign(new Known(message), { code });
  // Deno's node:tls has such codes too, but already the messages of rustls.
  const isRustls = /^ERR_SSL/.test(String(code)) && !message.includes("SSL routines");
  const tls = isRustls ? undefined : TLS.find(([pattern]) => pattern.test(String(code)));
  return tls ? Object.assign(new Error(tls[1], { cause: error }), { code }) : error;
}
