"""Says each argument after the port on a line, and prints the line that comes back."""
import socket
import sys

port, *messages = sys.argv[1:]
try:
    with socket.create_connection(("127.0.0.1", int(port)), timeout=1) as server:
        replies = server.makefile("rb")
        for message in messages:
            server.sendall(f"{message}\n".encode())
            reply = replies.readline()
            if not reply.endswith(b"\n"):
                sys.exit(f"cut off after {len(reply)} bytes")
            print(reply.decode(), end="")
except OSError as error:
    sys.exit(f"no reply: {error}")
